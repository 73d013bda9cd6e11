// EspalierSplitHeads, EspalierMergeHeads and EspalierSplitDot: around batched products of heads.
#pragma once
#include "ops/op.h"

namespace espalier {

// Parts of one product: query, key and value.
constexpr Index kMostParts = 3;

// x [samples * tokens, parts * heads * size] -> `parts` tensors [samples, heads, tokens, size]. Of the bias [any] those columns
// are added that begin with that of part `first_part`.
template <bool kGpu>
class SplitHeadsOp : public OpKernel {
 public:
  explicit SplitHeadsOp(OpKernelConstruction* context)
      : OpKernel(context),
        samples_(Attribute(context, "samples")),
        heads_(Attribute(context, "heads")),
        parts_(Attribute(context, "parts")),
        first_part_(Attribute(context, "first_part")) {
    ESPALIER_EXPECT(samples_ > 0 && heads_ > 0 && parts_ > 0 && parts_ <= kMostParts && first_part_ >= 0);
  }

  void Compute(OpKernelContext* context) override {
    const Tensor& x = context->input(0);
    ESPALIER_EXPECT(x.dims() == 2 && x.NumElements() > 0);
    const Index width = x.dim_size(1);
    ESPALIER_EXPECT(x.dim_size(0) % samples_ == 0 && width % (parts_ * heads_) == 0);
    const Index tokens = x.dim_size(0) / samples_;
    const Index size = width / parts_ / heads_;
    ESPALIER_EXPECT(context->input(1).NumElements() >= (first_part_ + parts_) * heads_ * size);
    float* out[kMostParts] = {};
    for (Index part = 0; part < parts_; part++) {
      ESPALIER_OUTPUT(made, part, {samples_, heads_, tokens, size});
      out[part] = made;
    }
    const float* from = Data(context, 0);
    const float* bias = Data(context, 1) + first_part_ * heads_ * size;
    const Index heads = heads_;
    const Index parts = parts_;
    if constexpr (kGpu) {
      OP_REQUIRES_OK(context, gpu::SplitHeads(context, from, bias, out, parts, samples_, tokens, heads, size));
    } else {
      OverUnits(context, samples_, tokens * width * 2, [=](Index first, Index end) {
        float* to[kMostParts] = {out[0], out[1], out[2]};
        cpu::SplitHeads(from, bias, to, parts, first, end, tokens, heads, size);
      });
    }
  }

 private:
  const Index samples_, heads_, parts_, first_part_;
};

// Up to three tensors [samples, heads, tokens, size] -> [samples * tokens, parts * heads * size].
template <bool kGpu>
class MergeHeadsOp : public OpKernel {
 public:
  using OpKernel::OpKernel;

  void Compute(OpKernelContext* context) override {
    const Index parts = context->num_inputs();
    const Tensor& x = context->input(0);
    ESPALIER_EXPECT(parts <= kMostParts && x.dims() == 4);
    const Index samples = x.dim_size(0);
    const Index heads = x.dim_size(1);
    const Index tokens = x.dim_size(2);
    const Index size = x.dim_size(3);
    const float* in[kMostParts] = {};
    for (Index part = 0; part < parts; part++) {
      ESPALIER_EXPECT(context->input(part).shape() == x.shape());
      in[part] = Data(context, part);
    }
    ESPALIER_OUTPUT(y, 0, {samples * tokens, parts * heads * size});
    if constexpr (kGpu) {
      OP_REQUIRES_OK(context, gpu::MergeHeads(context, in, y, parts, samples, tokens, heads, size));
    } else {
      OverUnits(context, samples, tokens * parts * heads * size * 2, [=](Index first, Index end) {
        const float* from[kMostParts] = {in[0], in[1], in[2]};
        cpu::MergeHeads(from, y, parts, first, end, tokens, heads, size);
      });
    }
  }
};

// dcontext [samples * queries, heads * size] split into heads, and the gradient of the head mask [samples, heads], the sums of
// dcontext * context. With attribute split false the first is absent.
template <bool kGpu>
class SplitDotOp : public OpKernel {
 public:
  explicit SplitDotOp(OpKernelConstruction* context)
      : OpKernel(context), samples_(Attribute(context, "samples")), heads_(Attribute(context, "heads")) {
    OP_REQUIRES_OK(context, context->GetAttr("split", &split_));
    ESPALIER_EXPECT(samples_ > 0 && heads_ > 0);
  }

  void Compute(OpKernelContext* context) override {
    const Tensor& dcontext = context->input(0);
    ESPALIER_EXPECT(dcontext.dims() == 2 && dcontext.NumElements() > 0);
    ESPALIER_EXPECT(context->input(1).NumElements() == dcontext.NumElements());
    const Index width = dcontext.dim_size(1);
    ESPALIER_EXPECT(dcontext.dim_size(0) % samples_ == 0 && width % heads_ == 0);
    const Index tokens = dcontext.dim_size(0) / samples_;
    const Index size = width / heads_;
    const Index heads = heads_;
    ESPALIER_OUTPUT(made, 0, split_ ? TensorShape({samples_, heads, tokens, size}) : TensorShape({0}));
    ESPALIER_OUTPUT(mask, 1, {samples_, heads});
    float* dc = split_ ? made : nullptr;
    const float* incoming = Data(context, 0);
    const float* mixed = Data(context, 1);
    if constexpr (kGpu) {
      OP_REQUIRES_OK(context, gpu::SplitDot(context, incoming, mixed, dc, mask, samples_, tokens, heads, size));
    } else {
      OverUnits(context, samples_, tokens * width * 3, [=](Index first, Index end) {
        cpu::SplitDot(incoming, mixed, dc, mask, first, end, tokens, heads, size);
      });
    }
  }

 private:
  const Index samples_, heads_;
  bool split_ = true;
};

inline void RegisterHeadOps() {
  ESPALIER_OP("EspalierSplitHeads")
      .Input("x: float")
      .Input("bias: float")
      .Attr("samples: int")
      .Attr("heads: int")
      .Attr("parts: int")
      .Attr("first_part: int")
      .Output("out: parts * float");
  ESPALIER_KERNEL("EspalierSplitHeads", SplitHeadsOp);
  ESPALIER_OP("EspalierMergeHeads").Input("in: parts * float").Attr("parts: int").Output("y: float");
  ESPALIER_KERNEL("EspalierMergeHeads", MergeHeadsOp);
  ESPALIER_OP("EspalierSplitDot")
      .Input("dcontext: float")
      .Input("context: float")
      .Attr("samples: int")
      .Attr("heads: int")
      .Attr("split: bool")
      .Output("dc: float")
      .Output("mask: float");
  ESPALIER_KERNEL("EspalierSplitDot", SplitDotOp);
}

}  // namespace espalier
