// EspalierSoftmax, a softmax of masked scores, and its gradient.
#pragma once
#include "ops/op.h"

namespace espalier {

// Softmax over the last axis of x [samples, ..., width] + mask [samples, width]; the mask may be absent.
template <bool kGpu>
class SoftmaxOp : public OpKernel {
 public:
  using OpKernel::OpKernel;

  void Compute(OpKernelContext* context) override {
    const Tensor& x = context->input(0);
    ESPALIER_EXPECT(x.dims() >= 2 && x.NumElements() > 0);
    const Index width = x.dim_size(x.dims() - 1);
    const Index samples = x.dim_size(0);
    ESPALIER_EXPECT(IsAbsentOr(context, 1, samples * width));
    const Index rows = x.NumElements() / width;
    const Index rows_per_mask = rows / samples;
    ESPALIER_OUTPUT(p, 0, x.shape());
    const float* from = Data(context, 0);
    const float* mask = OptionalData(context, 1);
    if constexpr (kGpu) {
      OP_REQUIRES_OK(context, gpu::Softmax(context, from, mask, p, rows, width, rows_per_mask));
    } else {
      OverUnits(context, rows, width * 12 + 40, [=](Index first, Index end) {
        cpu::Softmax(from, mask, p, first, end, width, rows_per_mask);
      });
    }
  }
};

template <bool kGpu>
class SoftmaxGradOp : public OpKernel {
 public:
  using OpKernel::OpKernel;

  void Compute(OpKernelContext* context) override {
    const Tensor& p = context->input(0);
    ESPALIER_EXPECT(p.dims() >= 1 && p.NumElements() > 0 && context->input(1).NumElements() == p.NumElements());
    const Index width = p.dim_size(p.dims() - 1);
    const Index rows = p.NumElements() / width;
    ESPALIER_OUTPUT(dx, 0, p.shape());
    const float* shares = Data(context, 0);
    const float* dp = Data(context, 1);
    if constexpr (kGpu) {
      OP_REQUIRES_OK(context, gpu::SoftmaxGrad(context, shares, dp, dx, rows, width));
    } else {
      OverUnits(context, rows, width * 6 + 40,
                [=](Index first, Index end) { cpu::SoftmaxGrad(shares, dp, dx, first, end, width); });
    }
  }
};

inline void RegisterSoftmaxOps() {
  ESPALIER_OP("EspalierSoftmax").Input("x: float").Input("mask: float").Output("p: float");
  ESPALIER_KERNEL("EspalierSoftmax", SoftmaxOp);
  ESPALIER_OP("EspalierSoftmaxGrad").Input("p: float").Input("dp: float").Output("dx: float");
  ESPALIER_KERNEL("EspalierSoftmaxGrad", SoftmaxGradOp);
}

}  // namespace espalier
