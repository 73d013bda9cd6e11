#include "gpu/driver.h"

#include <dlfcn.h>

#include <map>
#include <mutex>

#include "tensorflow/core/framework/device_base.h"
#include "tensorflow/core/framework/op_kernel.h"
#include "xla/stream_executor/stream.h"

namespace espalier::gpu {
namespace {

// Of cuda.h, which is not there when this is compiled.
constexpr int kComputeCapabilityMajor = 75;
constexpr int kComputeCapabilityMinor = 76;
constexpr int kMostDynamicSharedBytes = 8;
// What a kernel may ask for without saying so before.
constexpr unsigned kUsualSharedBytes = 48 * 1024;

struct Driver {
  void* library = nullptr;
  int (*init)(unsigned) = nullptr;
  int (*device_attribute)(int*, int, int) = nullptr;
  int (*current_context)(void**) = nullptr;
  int (*load_module)(void**, const void*) = nullptr;
  int (*module_function)(void**, void*, const char*) = nullptr;
  int (*set_attribute)(void*, int, int) = nullptr;
  int (*launch)(void*, unsigned, unsigned, unsigned, unsigned, unsigned, unsigned, unsigned, void*, void**, void**) = nullptr;
  int (*error_name)(int, const char**) = nullptr;
  std::string problem;
};

template <class Function>
void Find(Driver& driver, Function& function, const char* name) {
  function = reinterpret_cast<Function>(dlsym(driver.library, name));
  if (function == nullptr && driver.problem.empty()) driver.problem = std::string("libcuda.so.1 has no ") + name;
}

const Driver& TheDriver() {
  static const Driver* const driver = [] {
    auto* made = new Driver;
    made->library = dlopen("libcuda.so.1", RTLD_NOW);
    if (made->library == nullptr) {
      made->problem = "there is no libcuda.so.1";
      return made;
    }
    Find(*made, made->init, "cuInit");
    Find(*made, made->device_attribute, "cuDeviceGetAttribute");
    Find(*made, made->current_context, "cuCtxGetCurrent");
    Find(*made, made->load_module, "cuModuleLoadData");
    Find(*made, made->module_function, "cuModuleGetFunction");
    Find(*made, made->set_attribute, "cuFuncSetAttribute");
    Find(*made, made->launch, "cuLaunchKernel");
    Find(*made, made->error_name, "cuGetErrorName");
    return made;
  }();
  return *driver;
}

std::string Failure(const Driver& driver, const char* call, int code) {
  const char* name = nullptr;
  driver.error_name(code, &name);
  return std::string(call) + ": " + (name == nullptr ? std::to_string(code) : name);
}

struct Image {
  std::mutex mutex;
  std::string bytes;
  // By context of CUDA: a process may see several devices.
  std::map<void*, void*> modules;
  std::map<std::pair<void*, std::string>, void*> functions;
};

Image& TheImage() {
  static auto* const image = new Image;
  return *image;
}

absl::Status FindFunction(const Driver& driver, const std::string& name, void** function) {
  void* context = nullptr;
  if (int code = driver.current_context(&context)) return absl::InternalError(Failure(driver, "cuCtxGetCurrent", code));
  Image& image = TheImage();
  std::lock_guard<std::mutex> lock(image.mutex);
  void*& known = image.functions[{context, name}];
  if (known == nullptr) {
    void*& module = image.modules[context];
    if (module == nullptr) {
      if (image.bytes.empty()) return absl::FailedPreconditionError("no image of the GPU's kernels was set");
      if (int code = driver.load_module(&module, image.bytes.c_str())) {
        module = nullptr;
        return absl::InternalError(Failure(driver, "cuModuleLoadData", code));
      }
    }
    if (int code = driver.module_function(&known, module, name.c_str())) {
      known = nullptr;
      return absl::InternalError(Failure(driver, ("cuModuleGetFunction " + name).c_str(), code));
    }
  }
  *function = known;
  return absl::OkStatus();
}

}  // namespace

void SetImage(std::string bytes) {
  Image& image = TheImage();
  std::lock_guard<std::mutex> lock(image.mutex);
  image.bytes = std::move(bytes);
  // Modules of an image before stay loaded: kernels of theirs may be running.
  image.modules.clear();
  image.functions.clear();
}

std::string ComputeCapability(int* capability) {
  const Driver& driver = TheDriver();
  if (!driver.problem.empty()) return driver.problem;
  if (int code = driver.init(0)) return Failure(driver, "cuInit", code);
  int major = 0;
  int minor = 0;
  for (auto [attribute, value] : {std::pair{kComputeCapabilityMajor, &major}, std::pair{kComputeCapabilityMinor, &minor}})
    if (int code = driver.device_attribute(value, attribute, 0)) return Failure(driver, "cuDeviceGetAttribute", code);
  *capability = major * 10 + minor;
  return "";
}

absl::Status LaunchKernel(tensorflow::OpKernelContext* context, const std::string& name, Blocks blocks, Threads threads,
                          unsigned shared_bytes, void** arguments) {
  const Driver& driver = TheDriver();
  if (!driver.problem.empty()) return absl::FailedPreconditionError(driver.problem);
  void* function = nullptr;
  absl::Status found = FindFunction(driver, name, &function);
  if (!found.ok()) return found;
  if (shared_bytes > kUsualSharedBytes)
    if (int code = driver.set_attribute(function, kMostDynamicSharedBytes, static_cast<int>(shared_bytes)))
      return absl::InternalError(Failure(driver, ("cuFuncSetAttribute " + name).c_str(), code));
  void* stream = context->op_device_context()->stream()->platform_specific_handle().stream;
  const int code = driver.launch(function, static_cast<unsigned>(blocks.x), static_cast<unsigned>(blocks.y), 1, threads.x,
                                 threads.y, 1, shared_bytes, stream, arguments, nullptr);
  return code == 0 ? absl::OkStatus() : absl::InternalError(Failure(driver, ("cuLaunchKernel " + name).c_str(), code));
}

}  // namespace espalier::gpu
