// The Node-API face of the library: what JavaScript can ask of it beside running its operations, which it does through
// TensorFlow's binding. The library registers its operations with the TensorFlow of the process when it is loaded. Functions
// throw an Error that says what is wrong.
#include <node_api.h>

#include <string>
#include <string_view>

#include "gpu/compiler.h"
#include "gpu/driver.h"
#include "gpu/source.h"
#include "ops/register.h"
#include "tsl/platform/tensor_float_32_utils.h"

#ifndef ESPALIER_TENSORFLOW_VERSION
#error "ESPALIER_TENSORFLOW_VERSION: the version of the headers, which do not tell it themselves"
#endif

namespace {

napi_value Fail(napi_env env, const std::string& problem) {
  napi_throw_error(env, nullptr, problem.c_str());
  return nullptr;
}

// The only argument of a call; false where there is none.
bool OnlyArgument(napi_env env, napi_callback_info info, napi_value* argument) {
  size_t count = 1;
  return napi_get_cb_info(env, info, &count, argument, nullptr, nullptr) == napi_ok && count >= 1;
}

napi_value Bytes(napi_env env, std::string_view bytes) {
  napi_value buffer;
  napi_create_buffer_copy(env, bytes.size(), bytes.data(), nullptr, &buffer);
  return buffer;
}

// allowTf32(allowed: boolean): whether float32 products may round their inputs to TF32, for the whole process.
napi_value AllowTf32(napi_env env, napi_callback_info info) {
  napi_value argument;
  bool allowed = false;
  if (!OnlyArgument(env, info, &argument) || napi_get_value_bool(env, argument, &allowed) != napi_ok)
    return Fail(env, "allowTf32: expected a boolean");
  tsl::enable_tensor_float_32_execution(allowed);
  return nullptr;
}

// computeCapability(): number, 90 for 9.0, of the first GPU.
napi_value ComputeCapability(napi_env env, napi_callback_info) {
  int capability = 0;
  const std::string problem = espalier::gpu::ComputeCapability(&capability);
  if (!problem.empty()) return Fail(env, problem);
  napi_value value;
  napi_create_int32(env, capability, &value);
  return value;
}

// kernelSource(): Buffer, the GPU's kernels in CUDA C++.
napi_value KernelSource(napi_env env, napi_callback_info) { return Bytes(env, espalier::gpu::KernelSource()); }

// kernelPtx(): Buffer, the same as PTX for any GPU from compute capability 8.0 on, compressed by gzip.
napi_value KernelPtx(napi_env env, napi_callback_info) { return Bytes(env, espalier::gpu::KernelPtx()); }

// compileKernels(architecture: string): Buffer, a cubin for sm_… or PTX for compute_….
napi_value CompileKernels(napi_env env, napi_callback_info info) {
  napi_value argument;
  char architecture[32];
  size_t length = 0;
  if (!OnlyArgument(env, info, &argument) ||
      napi_get_value_string_utf8(env, argument, architecture, sizeof architecture, &length) != napi_ok)
    return Fail(env, "compileKernels: expected the name of an architecture");
  std::string image;
  const std::string problem = espalier::gpu::CompileKernels(architecture, &image);
  return problem.empty() ? Bytes(env, image) : Fail(env, problem);
}

// setKernels(image: Buffer): the cubin or PTX that kernels are taken from.
napi_value SetKernels(napi_env env, napi_callback_info info) {
  napi_value argument;
  void* data = nullptr;
  size_t length = 0;
  if (!OnlyArgument(env, info, &argument) || napi_get_buffer_info(env, argument, &data, &length) != napi_ok)
    return Fail(env, "setKernels: expected a Buffer");
  espalier::gpu::SetImage(std::string(static_cast<const char*>(data), length));
  return nullptr;
}

void AddFunction(napi_env env, napi_value exports, const char* name, napi_callback call) {
  napi_value function;
  napi_create_function(env, name, NAPI_AUTO_LENGTH, call, nullptr, &function);
  napi_set_named_property(env, exports, name, function);
}

}  // namespace

NAPI_MODULE_INIT() {
  const std::string problem = espalier::RegisterOps();
  if (!problem.empty()) return Fail(env, problem);
  // TensorFlow's own default is on: too coarse for sums, so whoever wants it asks.
  tsl::enable_tensor_float_32_execution(false);
  napi_value version;
  napi_create_string_utf8(env, ESPALIER_TENSORFLOW_VERSION, NAPI_AUTO_LENGTH, &version);
  napi_set_named_property(env, exports, "tensorflowVersion", version);
  AddFunction(env, exports, "allowTf32", AllowTf32);
  AddFunction(env, exports, "computeCapability", ComputeCapability);
  AddFunction(env, exports, "kernelSource", KernelSource);
  AddFunction(env, exports, "kernelPtx", KernelPtx);
  AddFunction(env, exports, "compileKernels", CompileKernels);
  AddFunction(env, exports, "setKernels", SetKernels);
  return exports;
}
