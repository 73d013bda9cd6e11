// EspalierBiasActivation and its gradient.
#pragma once
#include "ops/op.h"

namespace espalier {

inline bool IsActivation(Index kind) { return kind >= 0 && kind <= 2; }

// a = activation(h + bias). Attribute kind: 0 gelu, 1 gelu by tanh, 2 relu.
template <bool kGpu>
class BiasActivationOp : public OpKernel {
 public:
  explicit BiasActivationOp(OpKernelConstruction* context) : OpKernel(context), kind_(Attribute(context, "kind")) {
    ESPALIER_EXPECT(IsActivation(kind_));
  }

  void Compute(OpKernelContext* context) override {
    const Tensor& h = context->input(0);
    const Index width = context->input(1).NumElements();
    ESPALIER_EXPECT(width > 0 && h.NumElements() % width == 0);
    const Index rows = h.NumElements() / width;
    ESPALIER_OUTPUT(a, 0, h.shape());
    const float* from = Data(context, 0);
    const float* bias = Data(context, 1);
    if constexpr (kGpu) {
      OP_REQUIRES_OK(context, gpu::BiasActivation(context, kind_, from, bias, a, rows, width));
    } else {
      const auto kind = static_cast<cpu::Activation>(kind_);
      OverUnits(context, rows, width * 12,
                [=](Index first, Index end) { cpu::BiasActivation(kind, from, bias, a, first, end, width); });
    }
  }

 private:
  const Index kind_;
};

// dh [rows, width] and the gradient of each sample's neuron mask [samples, width].
template <bool kGpu>
class ActivationGradOp : public OpKernel {
 public:
  explicit ActivationGradOp(OpKernelConstruction* context)
      : OpKernel(context), kind_(Attribute(context, "kind")), samples_(Attribute(context, "samples")) {
    ESPALIER_EXPECT(IsActivation(kind_) && samples_ > 0);
  }

  void Compute(OpKernelContext* context) override {
    const Tensor& h = context->input(1);
    const Index width = context->input(2).NumElements();
    // The first row of each sample, the end of the last, and how many of each are tokens, as of EspalierVarlenAttention; absent:
    // as many rows each.
    const Tensor& extents = context->input(3);
    const bool is_varlen = extents.NumElements() > 0;
    ESPALIER_EXPECT(width > 0 && h.NumElements() % (is_varlen ? width : width * samples_) == 0);
    ESPALIER_EXPECT(context->input(0).NumElements() == h.NumElements());
    ESPALIER_EXPECT(IsAbsentOr(context, 3, 2 * samples_ + 1));
    const Index rows = h.NumElements() / width / samples_;
    const auto* starts = is_varlen ? reinterpret_cast<const int32_t*>(extents.flat<float>().data()) : nullptr;
    ESPALIER_OUTPUT(dh, 0, h.shape());
    ESPALIER_OUTPUT(mask, 1, {samples_, width});
    const float* da = Data(context, 0);
    const float* from = Data(context, 1);
    const float* bias = Data(context, 2);
    if constexpr (kGpu) {
      OP_REQUIRES_OK(context, gpu::ActivationGrad(context, kind_, da, from, bias, dh, mask, samples_, starts, rows, width));
    } else {
      const auto kind = static_cast<cpu::Activation>(kind_);
      const Index blocks = (width + cpu::kColumnBlock - 1) / cpu::kColumnBlock;
      OverUnits(context, samples_ * blocks, rows * cpu::kColumnBlock * 24, [=](Index first, Index end) {
        cpu::ActivationGrad(kind, da, from, bias, dh, mask, first, end, starts, rows, width);
      });
    }
  }

 private:
  const Index kind_;
  const Index samples_;
};

inline void RegisterActivationOps() {
  ESPALIER_OP("EspalierBiasActivation").Input("h: float").Input("bias: float").Attr("kind: int").Output("a: float");
  ESPALIER_KERNEL("EspalierBiasActivation", BiasActivationOp);
  ESPALIER_OP("EspalierActivationGrad")
      .Input("da: float")
      .Input("h: float")
      .Input("bias: float")
      .Input("extents: float")
      .Attr("kind: int")
      .Attr("samples: int")
      .Output("dh: float")
      .Output("mask: float");
  ESPALIER_KERNEL("EspalierActivationGrad", ActivationGradOp);
}

}  // namespace espalier
