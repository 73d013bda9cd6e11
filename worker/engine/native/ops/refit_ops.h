// EspalierRefitRows, what the sums of a refit are made of.
#pragma once
#include "ops/op.h"

namespace espalier {

// x [rows, columns] and r [rows, width] of cpu::RefitRows. All inputs but `taught` may be absent; without a `count` of features
// those are.
template <bool kGpu>
class RefitRowsOp : public OpKernel {
 public:
  explicit RefitRowsOp(OpKernelConstruction* context)
      : OpKernel(context), count_(Attribute(context, "count")), columns_(Attribute(context, "columns")) {
    ESPALIER_EXPECT(count_ >= 0 && columns_ > count_);
  }

  void Compute(OpKernelContext* context) override {
    const Tensor& features = context->input(0);
    const Tensor& taught = context->input(3);
    ESPALIER_EXPECT(taught.dims() == 2);
    const Index rows = taught.dim_size(0);
    const Index width = taught.dim_size(1);
    ESPALIER_EXPECT(count_ == 0 || (features.dims() == 2 && features.dim_size(0) == rows && features.dim_size(1) >= count_));
    ESPALIER_EXPECT(IsAbsentOr(context, 1, rows) && IsAbsentOr(context, 2, rows * width));
    ESPALIER_EXPECT(IsAbsentOr(context, 4, rows * width) && IsAbsentOr(context, 5, width));
    ESPALIER_OUTPUT(x, 0, {rows, columns_});
    ESPALIER_OUTPUT(r, 1, taught.shape());
    const cpu::RefitInputs in = {count_ == 0 ? nullptr : Data(context, 0),
                                 OptionalData(context, 1),
                                 OptionalData(context, 2),
                                 Data(context, 3),
                                 OptionalData(context, 4),
                                 OptionalData(context, 5)};
    const cpu::RefitShape shape = {count_, count_ == 0 ? 0 : features.dim_size(1), columns_, width};
    if constexpr (kGpu) {
      OP_REQUIRES_OK(context, gpu::RefitRows(context, in, shape, x, r, rows));
    } else {
      OverUnits(context, rows, columns_ + width * 3,
                [=](Index first, Index end) { cpu::RefitRows(in, shape, x, r, first, end); });
    }
  }

 private:
  const Index count_;
  const Index columns_;
};

inline void RegisterRefitOps() {
  ESPALIER_OP("EspalierRefitRows")
      .Input("features: float")
      .Input("roots: float")
      .Input("added: float")
      .Input("taught: float")
      .Input("own: float")
      .Input("bias: float")
      .Attr("count: int")
      .Attr("columns: int")
      .Output("x: float")
      .Output("r: float");
  ESPALIER_KERNEL("EspalierRefitRows", RefitRowsOp);
}

}  // namespace espalier
