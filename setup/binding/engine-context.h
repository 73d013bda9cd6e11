// Included before the sources of tfjs's binding: the context that it creates takes its options from the environment, and its
// module exports what engine-context.cc adds. So the package's sources stay as they are.
#pragma once

#include <node_api.h>

#include "tensorflow/c/eager/c_api.h"

namespace espalier {

// TFE_NewContext with the options of ESPALIER_TENSORFLOW_CONFIG: a serialized ConfigProto as hexadecimal digits; without
// it, TensorFlow's own. Ends the process with one line where TensorFlow refuses them: the binding would go on without
// a context and crash.
TFE_Context* NewContext(const TFE_ContextOptions* options, TF_Status* status);

// Adds deviceMemory() to what the module exports.
napi_value Export(napi_env env, napi_value exports);

}  // namespace espalier

#define TFE_NewContext espalier::NewContext
#undef NAPI_MODULE
#define NAPI_MODULE(name, init) \
  NAPI_MODULE_INIT() { return espalier::Export(env, init(env, exports)); }
