#include "downloads.h"

#include <cstring>
#include <future>
#include <string>

#include "prepared-ops.h"
#include "tensorflow/c/eager/tfe_tensorhandle_internal.h"
#include "tensorflow/core/common_runtime/eager/tensor_handle.h"

namespace espalier {
namespace {

using tensorflow::TensorHandle;

struct Download {
  // Room that JavaScript owns.
  void* target = nullptr;
  size_t bytes = 0;
  napi_ref buffer = nullptr;
  // What went wrong, or an empty string. Waited for before anything above goes.
  std::future<std::string> done;
};

napi_value Fail(napi_env env, const std::string& problem) {
  napi_throw_error(env, nullptr, problem.c_str());
  return nullptr;
}

// Waits for the device and copies; releases its hold on the tensor.
std::string Copy(TensorHandle* handle, void* target, size_t bytes) {
  TF_Status* status = TF_NewStatus();
  TF_Tensor* found = TFE_TensorHandleResolve(tensorflow::wrap(handle), status);
  std::string problem;
  if (TF_GetCode(status) != TF_OK)
    problem = "Invalid TF_Status: " + std::to_string(TF_GetCode(status)) + "\nMessage: " + TF_Message(status);
  else if (TF_TensorByteSize(found) != bytes)
    problem = "download: got " + std::to_string(TF_TensorByteSize(found)) + " bytes, expected " + std::to_string(bytes);
  else
    std::memcpy(target, TF_TensorData(found), bytes);
  if (found != nullptr) TF_DeleteTensor(found);
  TF_DeleteStatus(status);
  handle->Unref();
  return problem;
}

napi_value Finish(napi_env env, napi_callback_info info) {
  void* data = nullptr;
  if (napi_get_cb_info(env, info, nullptr, nullptr, nullptr, &data) != napi_ok) return Fail(env, "download: got no call");
  Download& download = *static_cast<Download*>(data);
  if (!download.done.valid()) return Fail(env, "download: got a second call, expected one");
  const std::string problem = download.done.get();
  napi_value buffer, numbers;
  napi_get_reference_value(env, download.buffer, &buffer);
  napi_delete_reference(env, download.buffer);
  download.buffer = nullptr;
  if (!problem.empty()) return Fail(env, problem);
  if (napi_create_typedarray(env, napi_float32_array, download.bytes / sizeof(float), buffer, 0, &numbers) != napi_ok)
    return Fail(env, "download: got no array");
  return numbers;
}

// When nobody can call it any more.
void Drop(napi_env env, void* data, void*) {
  Download* download = static_cast<Download*>(data);
  if (download->done.valid()) download->done.wait();
  if (download->buffer != nullptr) napi_delete_reference(env, download->buffer);
  delete download;
}

napi_value Begin(napi_env env, napi_callback_info info) {
  size_t count = 1;
  napi_value given;
  int32_t id = -1;
  if (napi_get_cb_info(env, info, &count, &given, nullptr, nullptr) != napi_ok || count < 1 ||
      napi_get_value_int32(env, given, &id) != napi_ok)
    return Fail(env, "beginDownload: expected a tensor");
  TFE_TensorHandle* found = FindHandle(env, id);
  if (found == nullptr) return Fail(env, "Input Tensor ID not referenced (tensor_id: " + std::to_string(id) + ")");
  TensorHandle* handle = tensorflow::TensorHandleFromInterface(tensorflow::unwrap(found));
  int64_t elements = 0;
  if (handle->dtype != tensorflow::DT_FLOAT || !handle->NumElements(&elements).ok())
    return Fail(env, "beginDownload: expected a tensor of float32");
  auto* download = new Download;
  download->bytes = static_cast<size_t>(elements) * sizeof(float);
  napi_value buffer, finish;
  if (napi_create_arraybuffer(env, download->bytes, &download->target, &buffer) != napi_ok ||
      napi_create_reference(env, buffer, 1, &download->buffer) != napi_ok ||
      napi_create_function(env, "finish", NAPI_AUTO_LENGTH, Finish, download, &finish) != napi_ok ||
      napi_add_finalizer(env, finish, download, Drop, nullptr, nullptr) != napi_ok) {
    if (download->buffer != nullptr) napi_delete_reference(env, download->buffer);
    delete download;
    return Fail(env, "beginDownload: got no room");
  }
  handle->Ref();
  download->done = std::async(std::launch::async, Copy, handle, download->target, download->bytes);
  return finish;
}

}  // namespace

void ExportDownloads(napi_env env, napi_value exports) {
  napi_value function;
  if (napi_create_function(env, "beginDownload", NAPI_AUTO_LENGTH, Begin, nullptr, &function) == napi_ok)
    napi_set_named_property(env, exports, "beginDownload", function);
}

}  // namespace espalier
