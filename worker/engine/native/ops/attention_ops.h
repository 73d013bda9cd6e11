// EspalierAttention and its gradient, on a CPU alone: on a GPU batched products with SplitHeads, Softmax and MergeHeads around
// them are as fast as the machine, and on a CPU they are slower than one loop in the cache.
//
// Either all rows ask, and one product [samples * tokens, 3 * width] holds query, key and value, or `queries` rows of each
// sample do: then the query's is [samples * queries, width] and that of key and value [samples * tokens, 2 * width].
#pragma once
#include "ops/op.h"

namespace espalier {

class AttentionBase : public OpKernel {
 public:
  explicit AttentionBase(OpKernelConstruction* context)
      : OpKernel(context), samples_(Attribute(context, "samples")), heads_(Attribute(context, "heads")) {
    ESPALIER_EXPECT(samples_ > 0 && heads_ > 0);
  }

 protected:
  // Sizes and rows, out of the inputs query, key and value (absent where the first has all three) and bias, which begin at
  // `input`. Reports what does not fit.
  bool Read(OpKernelContext* context, int input, cpu::HeadShape* shape, cpu::AttentionInputs* in) const {
    const Tensor& query = context->input(input);
    const Tensor& rest = context->input(input + 1);
    const Index width = context->input(input + 2).NumElements() / 3;
    const bool joined = rest.NumElements() == 0;
    const bool fits = query.dims() == 2 && width > 0 && width % heads_ == 0 &&
                      context->input(input + 2).NumElements() == 3 * width &&
                      query.dim_size(1) == (joined ? 3 * width : width) && query.dim_size(0) % samples_ == 0 &&
                      query.dim_size(0) > 0 &&
                      (joined || (rest.dims() == 2 && rest.dim_size(1) == 2 * width && rest.dim_size(0) % samples_ == 0));
    if (!fits) {
      context->SetStatus(tensorflow::errors::InvalidArgument(
          type_string(), ": got products ", query.shape().DebugString(), " and ", rest.shape().DebugString(), " for ",
          samples_, " samples, ", heads_, " heads and ", 3 * width, " biases"));
      return false;
    }
    const Index queries = query.dim_size(0) / samples_;
    const float* first = Data(context, input);
    const float* second = Data(context, input + 1);
    const Index tokens = joined ? queries : rest.dim_size(0) / samples_;
    *shape = {samples_, queries, tokens, heads_, width / heads_};
    in->query = {first, joined ? 3 * width : width};
    in->key = joined ? cpu::Rows{first + width, 3 * width} : cpu::Rows{second, 2 * width};
    in->value = {in->key.data + width, in->key.stride};
    in->bias = Data(context, input + 2);
    in->mask = nullptr;
    return true;
  }

  const Index samples_, heads_;
};

class AttentionOp : public AttentionBase {
 public:
  using AttentionBase::AttentionBase;

  void Compute(OpKernelContext* context) override {
    cpu::HeadShape shape;
    cpu::AttentionInputs in;
    if (!Read(context, 0, &shape, &in)) return;
    ESPALIER_EXPECT(IsAbsentOr(context, 3, shape.samples * shape.tokens));
    in.mask = OptionalData(context, 3);
    ESPALIER_OUTPUT(mixed, 0, {shape.samples * shape.queries, shape.heads * shape.size});
    ESPALIER_OUTPUT(p, 1, {shape.samples, shape.heads, shape.queries, shape.tokens});
    OverUnits(context, shape.samples * shape.heads, shape.queries * shape.tokens * (shape.size + 8),
              [=](Index first, Index end) { cpu::Attention(shape, in, mixed, p, first, end); });
  }
};

// Gradients of the products, in their shapes, and of the head mask [samples, heads]. With attribute input false the products'
// are absent.
class AttentionGradOp : public AttentionBase {
 public:
  explicit AttentionGradOp(OpKernelConstruction* context) : AttentionBase(context) {
    OP_REQUIRES_OK(context, context->GetAttr("input", &input_));
  }

  void Compute(OpKernelContext* context) override {
    cpu::HeadShape shape;
    cpu::AttentionInputs in;
    if (!Read(context, 1, &shape, &in)) return;
    const Index width = shape.heads * shape.size;
    ESPALIER_EXPECT(context->input(0).NumElements() == shape.samples * shape.queries * width);
    ESPALIER_EXPECT(context->input(4).NumElements() == shape.samples * shape.heads * shape.queries * shape.tokens);
    const bool joined = context->input(2).NumElements() == 0;
    const TensorShape none({0});
    ESPALIER_OUTPUT(dfirst, 0, input_ ? context->input(1).shape() : none);
    ESPALIER_OUTPUT(dsecond, 1, input_ && !joined ? context->input(2).shape() : none);
    ESPALIER_OUTPUT(mask, 2, {shape.samples, shape.heads});
    cpu::AttentionGradients out = {{}, {}, {}, mask};
    if (input_) {
      out.query = {dfirst, in.query.stride};
      out.key = {joined ? dfirst + width : dsecond, in.key.stride};
      out.value = {out.key.data + width, in.value.stride};
    }
    const float* dcontext = Data(context, 0);
    const float* p = Data(context, 4);
    OverUnits(context, shape.samples * shape.heads, shape.queries * shape.tokens * (2 * shape.size + 8),
              [=](Index first, Index end) { cpu::AttentionGrad(shape, dcontext, in, p, out, first, end); });
  }

 private:
  bool input_ = true;
};

inline void RegisterAttentionOps() {
  ESPALIER_OP("EspalierAttention")
      .Input("query: float")
      .Input("key_value: float")
      .Input("bias: float")
      .Input("mask: float")
      .Attr("samples: int")
      .Attr("heads: int")
      .Output("context: float")
      .Output("p: float");
  REGISTER_KERNEL_BUILDER(Name("EspalierAttention").Device(tensorflow::DEVICE_CPU), AttentionOp);
  ESPALIER_OP("EspalierAttentionGrad")
      .Input("dcontext: float")
      .Input("query: float")
      .Input("key_value: float")
      .Input("bias: float")
      .Input("p: float")
      .Attr("samples: int")
      .Attr("heads: int")
      .Attr("input: bool")
      .Output("dquery: float")
      .Output("dkey_value: float")
      .Output("mask: float");
  REGISTER_KERNEL_BUILDER(Name("EspalierAttentionGrad").Device(tensorflow::DEVICE_CPU), AttentionGradOp);
}

}  // namespace espalier
