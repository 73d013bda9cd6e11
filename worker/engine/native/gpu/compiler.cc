#include "gpu/compiler.h"

#include <dlfcn.h>

#include "gpu/source.h"

namespace espalier::gpu {
namespace {

// The set-up's engine for GPUs brings the first one, and has loaded it already.
constexpr const char* kLibraries[] = {"libnvrtc.so.12", "libnvrtc.so.13"};

using Program = void*;

struct Compiler {
  void* library = nullptr;
  int (*create)(Program*, const char*, const char*, int, const char* const*, const char* const*) = nullptr;
  int (*compile)(Program, int, const char* const*) = nullptr;
  int (*destroy)(Program*) = nullptr;
  int (*log_size)(Program, size_t*) = nullptr;
  int (*log)(Program, char*) = nullptr;
  int (*cubin_size)(Program, size_t*) = nullptr;
  int (*cubin)(Program, char*) = nullptr;
  int (*ptx_size)(Program, size_t*) = nullptr;
  int (*ptx)(Program, char*) = nullptr;
  std::string problem;
};

template <class Function>
void Find(Compiler& compiler, Function& function, const char* name) {
  function = reinterpret_cast<Function>(dlsym(compiler.library, name));
  if (function == nullptr && compiler.problem.empty()) compiler.problem = std::string("NVRTC has no ") + name;
}

Compiler Open() {
  Compiler found;
  for (const char* name : kLibraries)
    if (found.library == nullptr) found.library = dlopen(name, RTLD_NOW);
  if (found.library == nullptr) {
    found.problem = "there is no libnvrtc.so.12 or libnvrtc.so.13";
    return found;
  }
  Find(found, found.create, "nvrtcCreateProgram");
  Find(found, found.compile, "nvrtcCompileProgram");
  Find(found, found.destroy, "nvrtcDestroyProgram");
  Find(found, found.log_size, "nvrtcGetProgramLogSize");
  Find(found, found.log, "nvrtcGetProgramLog");
  Find(found, found.cubin_size, "nvrtcGetCUBINSize");
  Find(found, found.cubin, "nvrtcGetCUBIN");
  Find(found, found.ptx_size, "nvrtcGetPTXSize");
  Find(found, found.ptx, "nvrtcGetPTX");
  return found;
}

std::string LogOf(const Compiler& compiler, Program program) {
  size_t size = 0;
  if (compiler.log_size(program, &size) != 0 || size <= 1) return "";
  std::string log(size, '\0');
  compiler.log(program, log.data());
  return log.substr(0, log.find('\n'));
}

}  // namespace

std::string CompileKernels(const std::string& architecture, std::string* image) {
  const Compiler compiler = Open();
  if (!compiler.problem.empty()) return compiler.problem;
  const std::string source(KernelSource());
  Program program = nullptr;
  if (const int created = compiler.create(&program, source.c_str(), "kernels.cu", 0, nullptr, nullptr))
    return "nvrtcCreateProgram: error " + std::to_string(created);
  const std::string option = "--gpu-architecture=" + architecture;
  const char* const options[] = {option.c_str(), "--std=c++17"};
  std::string problem;
  int code = compiler.compile(program, 2, options);
  if (code != 0) {
    problem = "NVRTC for " + architecture + ": error " + std::to_string(code) + " " + LogOf(compiler, program);
  } else {
    const bool is_ptx = architecture.rfind("compute_", 0) == 0;
    size_t size = 0;
    code = is_ptx ? compiler.ptx_size(program, &size) : compiler.cubin_size(program, &size);
    image->assign(size, '\0');
    if (code == 0) code = is_ptx ? compiler.ptx(program, image->data()) : compiler.cubin(program, image->data());
    if (code != 0) problem = "NVRTC gave no image for " + architecture + ": error " + std::to_string(code);
  }
  compiler.destroy(&program);
  return problem;
}

}  // namespace espalier::gpu
