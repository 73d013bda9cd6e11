// The context of TensorFlow that the binding works in: its options, and the memory of its device.
#include "engine-context.h"

#include "downloads.h"
#include "prepared-ops.h"

#undef TFE_NewContext

#include <cstdlib>
#include <optional>
#include <string>

#include "tensorflow/c/eager/tfe_context_internal.h"
#include "tensorflow/core/framework/allocator.h"
#include "tensorflow/core/framework/device.h"

namespace espalier {
namespace {

constexpr char kConfig[] = "ESPALIER_TENSORFLOW_CONFIG";

// A module is initialized on the thread that will call it, right after its context was made.
thread_local TFE_Context* last_context = nullptr;

[[noreturn]] void Refuse(const std::string& problem) {
  const std::string text = std::string(kConfig) + ": " + problem;
  napi_fatal_error("tensorflow", NAPI_AUTO_LENGTH, text.c_str(), text.size());
}

std::string FromHex(const std::string& digits) {
  if (digits.size() % 2 != 0 || digits.find_first_not_of("0123456789abcdef") != std::string::npos)
    Refuse("got no pairs of hexadecimal digits");
  std::string bytes;
  for (size_t i = 0; i < digits.size(); i += 2)
    bytes.push_back(static_cast<char>(std::stoi(digits.substr(i, 2), nullptr, 16)));
  return bytes;
}

// The GPU, or the CPU where there is none: where tfjs's binding puts tensors.
tensorflow::Device* DeviceOf(TFE_Context* context) {
  tensorflow::Device* found = nullptr;
  for (tensorflow::Device* device : tensorflow::unwrap(context)->ListLocalTfDevices()) {
    if (device->device_type() == "GPU") return device;
    if (device->device_type() == "CPU") found = device;
  }
  return found;
}

void SetNumber(napi_env env, napi_value object, const char* name, std::optional<int64_t> value) {
  napi_value number;
  if (value.has_value()) napi_create_double(env, static_cast<double>(*value), &number);
  else napi_get_null(env, &number);
  napi_set_named_property(env, object, name, number);
}

// deviceMemory(): {limitBytes, usedBytes, peakBytes} of the allocator of the device; null where it does not tell.
napi_value DeviceMemory(napi_env env, napi_callback_info info) {
  void* context = nullptr;
  napi_get_cb_info(env, info, nullptr, nullptr, nullptr, &context);
  tensorflow::Device* device = DeviceOf(static_cast<TFE_Context*>(context));
  std::optional<tensorflow::AllocatorStats> stats;
  if (device != nullptr) {
    const auto told = device->GetAllocator(tensorflow::AllocatorAttributes())->GetStats();
    if (told.has_value()) stats = *told;
  }
  std::optional<int64_t> limit, used, peak;
  if (stats.has_value()) {
    if (stats->bytes_limit.has_value() && *stats->bytes_limit > 0) limit = *stats->bytes_limit;
    used = stats->bytes_in_use;
    peak = stats->peak_bytes_in_use;
  }
  napi_value result;
  if (napi_create_object(env, &result) != napi_ok) return nullptr;
  SetNumber(env, result, "limitBytes", limit);
  SetNumber(env, result, "usedBytes", used);
  SetNumber(env, result, "peakBytes", peak);
  return result;
}

}  // namespace

TFE_Context* NewContext(const TFE_ContextOptions* options, TF_Status* status) {
  tensorflow::EnableCPUAllocatorStats();
  const char* text = std::getenv(kConfig);
  TFE_ContextOptions* own = nullptr;
  if (text != nullptr && *text != '\0') {
    const std::string config = FromHex(text);
    own = TFE_NewContextOptions();
    TFE_ContextOptionsSetConfig(own, config.data(), config.size(), status);
    if (TF_GetCode(status) != TF_OK) Refuse(TF_Message(status));
  }
  last_context = TFE_NewContext(own == nullptr ? options : own, status);
  if (TF_GetCode(status) != TF_OK) Refuse(TF_Message(status));
  if (own != nullptr) TFE_DeleteContextOptions(own);
  return last_context;
}

napi_value Export(napi_env env, napi_value exports) {
  if (exports == nullptr) return exports;
  napi_value function;
  if (napi_create_function(env, "deviceMemory", NAPI_AUTO_LENGTH, DeviceMemory, last_context, &function) == napi_ok)
    napi_set_named_property(env, exports, "deviceMemory", function);
  ExportPreparedOps(env, exports, last_context);
  ExportDownloads(env, exports);
  return exports;
}

}  // namespace espalier
