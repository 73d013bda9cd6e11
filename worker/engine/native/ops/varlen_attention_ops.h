// EspalierVarlenAttention and its gradient: attention without scores in memory, of samples that lie one after the other with or
// without padding. On a GPU its products round their inputs to float16, so that it takes the place of products in TF32 alone.
//
// product [rows, 3 * heads * size]; bias [3 * heads * size]; extents [2 * samples + 1], the bits of int32: the first row of each
// sample and the end of the last, then the tokens of each. As int32 they would be in the host's memory. What they are is not
// checked, since that would be to wait for the device; attribute longest is the most rows of a sample.
#pragma once
#include "ops/op.h"

namespace espalier {

class VarlenAttentionBase : public OpKernel {
 public:
  explicit VarlenAttentionBase(OpKernelConstruction* context)
      : OpKernel(context), heads_(Attribute(context, "heads")), longest_(Attribute(context, "longest")) {
    ESPALIER_EXPECT(heads_ > 0 && longest_ > 0);
  }

 protected:
  // Sizes, out of the inputs product, bias and extents, which begin at `input`. Reports what does not fit.
  bool Read(OpKernelContext* context, int input, bool on_gpu, cpu::VarlenShape* shape) const {
    const Tensor& product = context->input(input);
    const Index width = product.dims() == 2 ? product.dim_size(1) / 3 : 0;
    const Tensor& extents = context->input(input + 2);
    const Index samples = (extents.NumElements() - 1) / 2;
    const bool fits = width > 0 && width % heads_ == 0 && product.dim_size(1) == 3 * width && product.dim_size(0) > 0 &&
                      context->input(input + 1).NumElements() == 3 * width && samples > 0 &&
                      extents.NumElements() == 2 * samples + 1 && (!on_gpu || gpu::HasVarlenAttention(width / heads_));
    if (!fits) {
      context->SetStatus(tensorflow::errors::InvalidArgument(
          type_string(), ": got a product ", product.shape().DebugString(), " for ", heads_, " heads, ",
          context->input(input + 1).NumElements(), " biases and ", extents.NumElements(), " extents"));
      return false;
    }
    const auto* starts = reinterpret_cast<const int32_t*>(extents.flat<float>().data());
    *shape = {samples, product.dim_size(0), longest_, heads_, width / heads_, starts, starts + samples + 1};
    return true;
  }

  const Index heads_, longest_;
};

template <bool kGpu>
class VarlenAttentionOp : public VarlenAttentionBase {
 public:
  using VarlenAttentionBase::VarlenAttentionBase;

  void Compute(OpKernelContext* context) override {
    cpu::VarlenShape shape;
    if (!Read(context, 0, kGpu, &shape)) return;
    ESPALIER_OUTPUT(mixed, 0, {shape.rows, shape.heads * shape.size});
    ESPALIER_OUTPUT(log_sums, 1, {shape.heads, shape.rows});
    const float* product = Data(context, 0);
    const float* bias = Data(context, 1);
    if constexpr (kGpu) {
      OP_REQUIRES_OK(context, gpu::VarlenAttention(context, shape, product, bias, mixed, log_sums));
    } else {
      OverUnits(context, shape.samples * shape.heads, shape.longest * shape.longest * shape.size * 4, [=](Index first, Index end) {
        cpu::VarlenAttention(shape, product, bias, mixed, log_sums, first, end);
      });
    }
  }
};

// Gradient of the product, in its shape, and of the head mask [samples, heads].
template <bool kGpu>
class VarlenAttentionGradOp : public VarlenAttentionBase {
 public:
  using VarlenAttentionBase::VarlenAttentionBase;

  void Compute(OpKernelContext* context) override {
    cpu::VarlenShape shape;
    if (!Read(context, 2, kGpu, &shape)) return;
    const Index count = shape.rows * shape.heads * shape.size;
    ESPALIER_EXPECT(context->input(0).NumElements() == count && context->input(1).NumElements() == count);
    ESPALIER_EXPECT(context->input(5).NumElements() == shape.heads * shape.rows);
    ESPALIER_OUTPUT(dproduct, 0, context->input(2).shape());
    ESPALIER_OUTPUT(mask, 1, {shape.samples, shape.heads});
    const float* dcontext = Data(context, 0);
    const float* mixed = Data(context, 1);
    const float* product = Data(context, 2);
    const float* bias = Data(context, 3);
    const float* log_sums = Data(context, 5);
    if constexpr (kGpu) {
      OP_REQUIRES_OK(context, gpu::VarlenAttentionGrad(context, shape, dcontext, mixed, product, bias, log_sums, dproduct, mask));
    } else {
      OverUnits(context, shape.samples * shape.heads, shape.longest * shape.longest * shape.size * 10, [=](Index first, Index end) {
        cpu::VarlenAttentionGrad(shape, dcontext, mixed, product, bias, log_sums, dproduct, mask, first, end);
      });
    }
  }
};

inline void RegisterVarlenAttentionOps() {
  ESPALIER_OP("EspalierVarlenAttention")
      .Input("product: float")
      .Input("bias: float")
      .Input("extents: float")
      .Attr("heads: int")
      .Attr("longest: int")
      .Output("context: float")
      .Output("log_sums: float");
  ESPALIER_KERNEL("EspalierVarlenAttention", VarlenAttentionOp);
  ESPALIER_OP("EspalierVarlenAttentionGrad")
      .Input("dcontext: float")
      .Input("context: float")
      .Input("product: float")
      .Input("bias: float")
      .Input("extents: float")
      .Input("log_sums: float")
      .Attr("heads: int")
      .Attr("longest: int")
      .Output("dproduct: float")
      .Output("mask: float");
  ESPALIER_KERNEL("EspalierVarlenAttentionGrad", VarlenAttentionGradOp);
}

}  // namespace espalier
