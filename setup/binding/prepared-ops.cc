#include "prepared-ops.h"

#include <cstdint>
#include <memory>
#include <string>
#include <unordered_map>
#include <utility>
#include <variant>
#include <vector>

#include "binding/tfjs_backend.h"
#include "tensorflow/c/eager/tfe_context_internal.h"
#include "tensorflow/c/eager/tfe_op_internal.h"
#include "tensorflow/c/eager/tfe_tensorhandle_internal.h"
#include "tensorflow/core/common_runtime/eager/context.h"
#include "tensorflow/core/common_runtime/eager/eager_op_rewrite_registry.h"
#include "tensorflow/core/common_runtime/eager/eager_operation.h"
#include "tensorflow/core/common_runtime/eager/execute.h"
#include "tensorflow/core/common_runtime/eager/kernel_and_device.h"
#include "tensorflow/core/common_runtime/eager/tensor_handle.h"

namespace espalier {
namespace {

using tensorflow::EagerContext;
using tensorflow::EagerOperation;
using tensorflow::EagerOpRewriteRegistry;
using tensorflow::KernelAndDevice;
using tensorflow::TensorHandle;
using tfnodejs::TFJSBackend;

// The tensors of the package's binding, which are private there: an explicit instantiation may name private members.
template <class Tag, typename Tag::Type kMember>
struct Opened {
  friend typename Tag::Type MemberOf(Tag) { return kMember; }
};
struct Handles {
  using Type = std::unordered_map<int32_t, TFE_TensorHandle*> TFJSBackend::*;
  friend Type MemberOf(Handles);
};
struct NextId {
  using Type = int32_t TFJSBackend::*;
  friend Type MemberOf(NextId);
};
template struct Opened<Handles, &TFJSBackend::tfe_handle_map_>;
template struct Opened<NextId, &TFJSBackend::next_tensor_id_>;

// What an upload of some ten thousand parts is cut into.
constexpr size_t kResults = 1 << 18;
constexpr size_t kUsualInputs = 16;

struct Attribute {
  std::string name;
  TF_AttrType type;
  double value;
};

struct Prepared {
  std::string name;
  std::vector<Attribute> attributes;
  int outputs;
  // What TensorFlow chose for the first call. It depends on name and attributes alone, which hold the types of all inputs.
  tensorflow::core::RefCountPtr<KernelAndDevice> kernel;
  bool was_run = false;
};

struct PreparedOps {
  TFE_Context* context;
  std::vector<std::unique_ptr<Prepared>> ops;
  int32_t* results = nullptr;
  napi_ref results_reference = nullptr;
};

napi_value Fail(napi_env env, const std::string& problem) {
  napi_throw_error(env, nullptr, problem.c_str());
  return nullptr;
}

// As the package's binding words it.
std::string Problem(int code, const char* message) {
  return "Invalid TF_Status: " + std::to_string(code) + "\nMessage: " + message;
}

struct Status {
  TF_Status* value = TF_NewStatus();
  ~Status() { TF_DeleteStatus(value); }
  bool ok() const { return TF_GetCode(value) == TF_OK; }
  std::string problem() const { return Problem(TF_GetCode(value), TF_Message(value)); }
};

void SetAttribute(TFE_Op* op, const Attribute& attribute) {
  const char* name = attribute.name.c_str();
  switch (attribute.type) {
    case TF_ATTR_TYPE: TFE_OpSetAttrType(op, name, static_cast<TF_DataType>(attribute.value)); break;
    case TF_ATTR_BOOL: TFE_OpSetAttrBool(op, name, attribute.value != 0); break;
    case TF_ATTR_FLOAT: TFE_OpSetAttrFloat(op, name, static_cast<float>(attribute.value)); break;
    default: TFE_OpSetAttrInt(op, name, static_cast<int64_t>(attribute.value)); break;
  }
}

// The kernel that TensorFlow has just run `op` with, made as its eager runtime makes it (GetOrCreateKernelAndDevice in
// core/common_runtime/eager/execute.cc); null where it cannot be had, and TensorFlow is asked each time.
tensorflow::core::RefCountPtr<KernelAndDevice> MakeKernel(EagerContext* context, EagerOperation* op) {
  const tensorflow::VariantDevice placed = op->Device();
  if (!std::holds_alternative<tensorflow::Device*>(placed) || op->is_function()) return nullptr;
  tensorflow::Device* device = std::get<tensorflow::Device*>(placed);
  if (device == nullptr) return nullptr;
  std::unique_ptr<EagerOperation> rewritten;
  // On a CPU some operations become oneDNN's.
  for (const auto phase : {EagerOpRewriteRegistry::PRE_EXECUTION, EagerOpRewriteRegistry::POST_PLACEMENT}) {
    std::unique_ptr<EagerOperation> next;
    if (!EagerOpRewriteRegistry::Global()->RunRewrite(phase, op, &next).ok()) return nullptr;
    if (next == nullptr) continue;
    if (rewritten != nullptr) return nullptr;
    rewritten = std::move(next);
  }
  EagerOperation* own = rewritten == nullptr ? op : rewritten.get();
  tensorflow::FunctionLibraryRuntime* library = context->func_lib(device);
  if (library == nullptr) return nullptr;
  auto* runner = library->runner() != nullptr ? library->runner() : context->runner();
  tensorflow::core::RefCountPtr<KernelAndDevice> kernel(
      new tensorflow::KernelAndDeviceOp(context->GetRendezvous(), context->LogMemory(), library, runner,
                                        context->GetCollectiveExecutorHandle(), context->HostCPU()));
  const tensorflow::NodeDef& node = own->MutableAttrs()->BuildNodeDef();
  if (!kernel->Init(context->LogDevicePlacement(), node, nullptr, own->eager_func_params()).ok()) return nullptr;
  return kernel;
}

// Through TensorFlow's whole eager runtime, which also copies inputs that lie on another device.
std::string RunEagerly(PreparedOps& all, Prepared& prepared, const absl::InlinedVector<TensorHandle*, 4>& inputs,
                       std::vector<TensorHandle*>& outputs) {
  Status status;
  std::unique_ptr<TFE_Op, void (*)(TFE_Op*)> op(TFE_NewOp(all.context, prepared.name.c_str(), status.value), TFE_DeleteOp);
  if (!status.ok()) return status.problem();
  for (TensorHandle* input : inputs) {
    TFE_OpAddInput(op.get(), tensorflow::wrap(input), status.value);
    if (!status.ok()) return status.problem();
  }
  for (const Attribute& attribute : prepared.attributes) SetAttribute(op.get(), attribute);
  std::vector<TFE_TensorHandle*> made(prepared.outputs, nullptr);
  int count = prepared.outputs;
  TFE_Execute(op.get(), made.data(), &count, status.value);
  if (!status.ok()) return status.problem();
  for (int i = 0; i < count; i++) outputs[i] = tensorflow::TensorHandleFromInterface(tensorflow::unwrap(made[i]));
  if (!prepared.was_run) {
    prepared.was_run = true;
    EagerContext* context = tensorflow::ContextFromInterface(tensorflow::unwrap(all.context));
    prepared.kernel = MakeKernel(context, tensorflow::OperationFromInterface(tensorflow::unwrap(op.get())));
  }
  return "";
}

// True where the kernel can take the inputs as they lie.
bool Fits(const EagerContext& context, const KernelAndDevice& kernel, const absl::InlinedVector<TensorHandle*, 4>& inputs) {
  if (kernel.num_inputs() != static_cast<int>(inputs.size())) return false;
  for (size_t i = 0; i < inputs.size(); i++) {
    const TensorHandle& input = *inputs[i];
    if (input.Type() != TensorHandle::LOCAL || input.dtype != kernel.input_dtypes()[i] ||
        input.DeviceOrHostCPU(context) != kernel.InputDevice(i))
      return false;
  }
  return true;
}

std::string Run(PreparedOps& all, Prepared& prepared, const absl::InlinedVector<TensorHandle*, 4>& inputs,
                std::vector<TensorHandle*>& outputs) {
  EagerContext* context = tensorflow::ContextFromInterface(tensorflow::unwrap(all.context));
  if (prepared.kernel == nullptr || !Fits(*context, *prepared.kernel, inputs))
    return RunEagerly(all, prepared, inputs, outputs);
  const absl::Status status = tensorflow::EagerKernelExecute(context, inputs, std::nullopt, prepared.kernel, nullptr, nullptr,
                                                             absl::MakeSpan(outputs));
  return status.ok() ? "" : Problem(static_cast<int>(status.code()), std::string(status.message()).c_str());
}

bool Integer(napi_env env, napi_value value, int32_t* number) {
  return napi_get_value_int32(env, value, number) == napi_ok;
}

// Gives an output an id and leaves what there is to know of it at `at`; false where there is no room.
bool Leave(PreparedOps& all, TFJSBackend* backend, TensorHandle* handle, size_t* at) {
  int rank = 0;
  if (!handle->NumDims(&rank).ok() || *at + 3 + rank > kResults) return false;
  const int32_t id = (backend->*MemberOf(NextId()))++;
  (backend->*MemberOf(Handles())).emplace(id, tensorflow::wrap(handle));
  all.results[(*at)++] = id;
  all.results[(*at)++] = handle->dtype;
  all.results[(*at)++] = rank;
  for (int i = 0; i < rank; i++) {
    int64_t size = 0;
    if (!handle->Dim(i, &size).ok()) size = -1;
    all.results[(*at)++] = static_cast<int32_t>(size);
  }
  return true;
}

napi_value RunOp(napi_env env, napi_callback_info info) {
  void* data = nullptr;
  size_t count = kUsualInputs;
  napi_value usual[kUsualInputs];
  std::vector<napi_value> many;
  napi_value* given = usual;
  if (napi_get_cb_info(env, info, &count, usual, nullptr, &data) != napi_ok) return Fail(env, "runOp: got no call");
  if (count > kUsualInputs) {
    many.resize(count);
    given = many.data();
    napi_get_cb_info(env, info, &count, given, nullptr, nullptr);
  }
  PreparedOps& all = *static_cast<PreparedOps*>(data);
  TFJSBackend* backend = nullptr;
  napi_get_instance_data(env, reinterpret_cast<void**>(&backend));
  int32_t number = -1;
  if (backend == nullptr || count < 1 || !Integer(env, given[0], &number) || number < 0 ||
      static_cast<size_t>(number) >= all.ops.size())
    return Fail(env, "runOp: expected an operation that was prepared");
  Prepared& prepared = *all.ops[number];
  const auto& handles = backend->*MemberOf(Handles());
  absl::InlinedVector<TensorHandle*, 4> inputs;
  for (size_t i = 1; i < count; i++) {
    int32_t id = -1;
    const auto found = Integer(env, given[i], &id) ? handles.find(id) : handles.end();
    if (found == handles.end()) return Fail(env, "Input Tensor ID not referenced (tensor_id: " + std::to_string(id) + ")");
    inputs.push_back(tensorflow::TensorHandleFromInterface(tensorflow::unwrap(found->second)));
  }
  std::vector<TensorHandle*> outputs(prepared.outputs, nullptr);
  const std::string problem = Run(all, prepared, inputs, outputs);
  if (!problem.empty()) return Fail(env, problem);
  size_t at = 0;
  for (size_t i = 0; i < outputs.size(); i++)
    if (!Leave(all, backend, outputs[i], &at)) return Fail(env, prepared.name + ": got more outputs than there is room for");
  return nullptr;
}

bool ReadAttribute(napi_env env, napi_value given, Attribute* attribute) {
  napi_value name, type, value;
  char text[64];
  size_t length = 0;
  int32_t number = 0;
  napi_valuetype kind;
  if (napi_get_named_property(env, given, "name", &name) != napi_ok ||
      napi_get_value_string_utf8(env, name, text, sizeof text, &length) != napi_ok ||
      napi_get_named_property(env, given, "type", &type) != napi_ok || !Integer(env, type, &number) ||
      napi_get_named_property(env, given, "value", &value) != napi_ok || napi_typeof(env, value, &kind) != napi_ok)
    return false;
  attribute->name.assign(text, length);
  attribute->type = static_cast<TF_AttrType>(number);
  if (kind != napi_boolean) return napi_get_value_double(env, value, &attribute->value) == napi_ok;
  bool is_true = false;
  napi_get_value_bool(env, value, &is_true);
  attribute->value = is_true ? 1 : 0;
  return true;
}

napi_value PrepareOp(napi_env env, napi_callback_info info) {
  void* data = nullptr;
  size_t count = 3;
  napi_value given[3];
  char name[128];
  size_t length = 0;
  uint32_t attributes = 0;
  int32_t outputs = 0;
  if (napi_get_cb_info(env, info, &count, given, nullptr, &data) != napi_ok || count < 3 ||
      napi_get_value_string_utf8(env, given[0], name, sizeof name, &length) != napi_ok ||
      napi_get_array_length(env, given[1], &attributes) != napi_ok || !Integer(env, given[2], &outputs) || outputs < 1)
    return Fail(env, "prepareOp: expected a name, attributes and a count of outputs");
  auto prepared = std::make_unique<Prepared>();
  prepared->name.assign(name, length);
  prepared->outputs = outputs;
  prepared->attributes.resize(attributes);
  for (uint32_t i = 0; i < attributes; i++) {
    napi_value attribute;
    if (napi_get_element(env, given[1], i, &attribute) != napi_ok ||
        !ReadAttribute(env, attribute, &prepared->attributes[i]))
      return Fail(env, "prepareOp: expected attributes of a name, a type and a number or boolean");
  }
  PreparedOps& all = *static_cast<PreparedOps*>(data);
  all.ops.push_back(std::move(prepared));
  napi_value number;
  napi_create_int32(env, static_cast<int32_t>(all.ops.size() - 1), &number);
  return number;
}

void AddFunction(napi_env env, napi_value exports, const char* name, napi_callback call, void* data) {
  napi_value function;
  if (napi_create_function(env, name, NAPI_AUTO_LENGTH, call, data, &function) == napi_ok)
    napi_set_named_property(env, exports, name, function);
}

}  // namespace

TFE_TensorHandle* FindHandle(napi_env env, int32_t id) {
  TFJSBackend* backend = nullptr;
  napi_get_instance_data(env, reinterpret_cast<void**>(&backend));
  if (backend == nullptr) return nullptr;
  const auto& handles = backend->*MemberOf(Handles());
  const auto found = handles.find(id);
  return found == handles.end() ? nullptr : found->second;
}

void ExportPreparedOps(napi_env env, napi_value exports, TFE_Context* context) {
  auto* all = new PreparedOps{context, {}};
  // Kernels go before the context does, which the module's own end releases.
  napi_add_env_cleanup_hook(
      env, [](void* data) { delete static_cast<PreparedOps*>(data); }, all);
  napi_value buffer, results;
  void* memory = nullptr;
  if (napi_create_arraybuffer(env, kResults * sizeof(int32_t), &memory, &buffer) != napi_ok ||
      napi_create_typedarray(env, napi_int32_array, kResults, buffer, 0, &results) != napi_ok ||
      napi_create_reference(env, buffer, 1, &all->results_reference) != napi_ok)
    return;
  all->results = static_cast<int32_t*>(memory);
  napi_set_named_property(env, exports, "results", results);
  AddFunction(env, exports, "prepareOp", PrepareOp, all);
  AddFunction(env, exports, "runOp", RunOp, all);
}

}  // namespace espalier
