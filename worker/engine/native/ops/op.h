// What the operations share. An operation has one class for both devices: `kGpu` chooses between the loops of cpu/ on
// TensorFlow's threads and the kernels of gpu/ on its stream. Shapes are checked here; what is wrong becomes an error of
// TensorFlow that names the operation.
#pragma once
#include <functional>
#include <initializer_list>

#include "cpu/kernels.h"
#include "gpu/launch.h"
#include "tensorflow/core/framework/common_shape_fns.h"
#include "tensorflow/core/framework/op.h"
#include "tensorflow/core/framework/op_kernel.h"
#include "tensorflow/core/framework/shape_inference.h"
#include "tensorflow/core/platform/threadpool.h"

namespace espalier {

using tensorflow::OpKernel;
using tensorflow::OpKernelConstruction;
using tensorflow::OpKernelContext;
using tensorflow::Tensor;
using tensorflow::TensorShape;
using cpu::Index;

// Eager execution asks for no shapes ahead.
#define ESPALIER_OP(name) REGISTER_OP(name).SetShapeFn(tensorflow::shape_inference::UnknownShape)

#define ESPALIER_KERNEL(name, Class)                                                  \
  REGISTER_KERNEL_BUILDER(Name(name).Device(tensorflow::DEVICE_CPU), Class<false>);   \
  REGISTER_KERNEL_BUILDER(Name(name).Device(tensorflow::DEVICE_GPU), Class<true>)

#define ESPALIER_EXPECT(condition) \
  OP_REQUIRES(context, condition, tensorflow::errors::InvalidArgument(type_string(), ": expected ", #condition))

#define ESPALIER_OUTPUT(pointer, number, ...)                                                 \
  float* pointer = nullptr;                                                                   \
  {                                                                                           \
    Tensor* tensor = nullptr;                                                                 \
    OP_REQUIRES_OK(context, context->allocate_output(number, TensorShape(__VA_ARGS__), &tensor)); \
    pointer = tensor->flat<float>().data();                                                   \
  }

inline const float* Data(OpKernelContext* context, int input) { return context->input(input).flat<float>().data(); }

// An absent input is a tensor without elements.
inline const float* OptionalData(OpKernelContext* context, int input) {
  return context->input(input).NumElements() == 0 ? nullptr : Data(context, input);
}

inline bool IsAbsentOr(OpKernelContext* context, int input, Index count) {
  const Index elements = context->input(input).NumElements();
  return elements == 0 || elements == count;
}

// Runs work(first, end) over [0, units) on TensorFlow's threads. @param cycles a unit's cost, roughly.
inline void OverUnits(OpKernelContext* context, Index units, Index cycles, const std::function<void(Index, Index)>& work) {
  if (units > 0) context->device()->tensorflow_cpu_worker_threads()->workers->ParallelFor(units, cycles, work);
}

inline Index Attribute(OpKernelConstruction* context, const char* name) {
  int64_t value = 0;
  const absl::Status status = context->GetAttr(name, &value);
  if (!status.ok()) context->CtxFailure(status);
  return value;
}

}  // namespace espalier
