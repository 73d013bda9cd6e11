// Operations that are prepared once and run many times: of a call of the package's executeOp most is to find out anew, from names
// and attributes, which kernel it is.
#pragma once

#include <node_api.h>

#include "tensorflow/c/eager/c_api.h"

namespace espalier {

// Adds to what the module exports:
// - prepareOp(name: string, attributes: {name, type, value: boolean | number}[], outputs: number): number, a new operation;
// - runOp(operation: number, ...inputs: number[]): void, runs it on tensors as executeOp does, and throws what that throws;
// - results: Int32Array, what runOp leaves there of each output: id, type, rank, sizes.
void ExportPreparedOps(napi_env env, napi_value exports, TFE_Context* context);

// A tensor of the package's binding by its id; null where there is none.
TFE_TensorHandle* FindHandle(napi_env env, int32_t id);

}  // namespace espalier
