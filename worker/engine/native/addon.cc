// The Node-API face of the library: what JavaScript can ask of it beside running its operations, which it does through
// TensorFlow's binding. The library registers its operations with the TensorFlow of the process when it is loaded.
#include <node_api.h>

#include <string>

#include "ops/register.h"
#include "tsl/platform/tensor_float_32_utils.h"

#ifndef ESPALIER_TENSORFLOW_VERSION
#error "ESPALIER_TENSORFLOW_VERSION: the version of the headers, which do not tell it themselves"
#endif

namespace {

// Sets whether float32 products may round their inputs to TF32, for the whole process.
napi_value AllowTf32(napi_env env, napi_callback_info info) {
  size_t count = 1;
  napi_value argument;
  bool allowed = false;
  if (napi_get_cb_info(env, info, &count, &argument, nullptr, nullptr) != napi_ok || count < 1 ||
      napi_get_value_bool(env, argument, &allowed) != napi_ok) {
    napi_throw_type_error(env, nullptr, "allowTf32: expected a boolean");
    return nullptr;
  }
  tsl::enable_tensor_float_32_execution(allowed);
  return nullptr;
}

void AddFunction(napi_env env, napi_value exports, const char* name, napi_callback call) {
  napi_value function;
  napi_create_function(env, name, NAPI_AUTO_LENGTH, call, nullptr, &function);
  napi_set_named_property(env, exports, name, function);
}

void AddText(napi_env env, napi_value exports, const char* name, const char* text) {
  napi_value value;
  napi_create_string_utf8(env, text, NAPI_AUTO_LENGTH, &value);
  napi_set_named_property(env, exports, name, value);
}

}  // namespace

NAPI_MODULE_INIT() {
  const std::string problem = espalier::RegisterOps();
  if (!problem.empty()) {
    napi_throw_error(env, nullptr, problem.c_str());
    return nullptr;
  }
  // TensorFlow's own default is on: too coarse for sums, so whoever wants it asks.
  tsl::enable_tensor_float_32_execution(false);
  AddText(env, exports, "tensorflowVersion", ESPALIER_TENSORFLOW_VERSION);
  AddFunction(env, exports, "allowTf32", AllowTf32);
  return exports;
}
