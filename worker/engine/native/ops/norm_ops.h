// EspalierNorm, a LayerNorm with what stands before it, and its gradient.
#pragma once
#include "ops/op.h"

namespace espalier {

// LayerNorm(x + bias + residual); the last two may be absent. Outputs y, the normalised rows, 1 / deviation [rows].
template <bool kGpu>
class NormOp : public OpKernel {
 public:
  explicit NormOp(OpKernelConstruction* context) : OpKernel(context) {
    OP_REQUIRES_OK(context, context->GetAttr("epsilon", &epsilon_));
  }

  void Compute(OpKernelContext* context) override {
    const Tensor& x = context->input(0);
    const Index width = context->input(3).NumElements();
    ESPALIER_EXPECT(width > 0 && x.NumElements() % width == 0 && context->input(4).NumElements() == width);
    ESPALIER_EXPECT(IsAbsentOr(context, 1, width) && IsAbsentOr(context, 2, x.NumElements()));
    const Index rows = x.NumElements() / width;
    ESPALIER_OUTPUT(y, 0, x.shape());
    ESPALIER_OUTPUT(normalized, 1, x.shape());
    ESPALIER_OUTPUT(inverse_deviation, 2, {rows});
    const float* from = Data(context, 0);
    const float* bias = OptionalData(context, 1);
    const float* residual = OptionalData(context, 2);
    const float* gamma = Data(context, 3);
    const float* beta = Data(context, 4);
    const cpu::NormOutputs out = {y, normalized, inverse_deviation};
    const float epsilon = epsilon_;
    if constexpr (kGpu) {
      OP_REQUIRES_OK(context, gpu::Norm(context, from, bias, residual, gamma, beta, epsilon, out, rows, width));
    } else {
      OverUnits(context, rows, width * 8, [=](Index first, Index end) {
        cpu::Norm(from, bias, residual, gamma, beta, epsilon, out, first, end, width);
      });
    }
  }

 private:
  float epsilon_ = 0;
};

// Gradient with respect to the sum that was normalised, for dy + dy2; the second may be absent.
template <bool kGpu>
class NormGradOp : public OpKernel {
 public:
  using OpKernel::OpKernel;

  void Compute(OpKernelContext* context) override {
    const Tensor& normalized = context->input(2);
    const Index count = normalized.NumElements();
    const Index width = context->input(4).NumElements();
    ESPALIER_EXPECT(width > 0 && count % width == 0);
    ESPALIER_EXPECT(context->input(0).NumElements() == count && IsAbsentOr(context, 1, count));
    const Index rows = count / width;
    ESPALIER_EXPECT(context->input(3).NumElements() == rows);
    ESPALIER_OUTPUT(dx, 0, normalized.shape());
    const float* dy = Data(context, 0);
    const float* dy2 = OptionalData(context, 1);
    const float* values = Data(context, 2);
    const float* inverse_deviation = Data(context, 3);
    const float* gamma = Data(context, 4);
    if constexpr (kGpu) {
      OP_REQUIRES_OK(context, gpu::NormGrad(context, dy, dy2, values, inverse_deviation, gamma, dx, rows, width));
    } else {
      OverUnits(context, rows, width * 8, [=](Index first, Index end) {
        cpu::NormGrad(dy, dy2, values, inverse_deviation, gamma, dx, first, end, width);
      });
    }
  }
};

inline void RegisterNormOps() {
  ESPALIER_OP("EspalierNorm")
      .Input("x: float")
      .Input("bias: float")
      .Input("residual: float")
      .Input("gamma: float")
      .Input("beta: float")
      .Attr("epsilon: float")
      .Output("y: float")
      .Output("normalized: float")
      .Output("inverse_deviation: float");
  ESPALIER_KERNEL("EspalierNorm", NormOp);
  ESPALIER_OP("EspalierNormGrad")
      .Input("dy: float")
      .Input("dy2: float")
      .Input("normalized: float")
      .Input("inverse_deviation: float")
      .Input("gamma: float")
      .Output("dx: float");
  ESPALIER_KERNEL("EspalierNormGrad", NormGradOp);
}

}  // namespace espalier
