// EspalierHalfSquares, half the sum of squares in float64.
#pragma once
#include "ops/op.h"

namespace espalier {

// x of any shape, float32; half [] float64.
template <bool kGpu>
class HalfSquaresOp : public OpKernel {
 public:
  using OpKernel::OpKernel;

  void Compute(OpKernelContext* context) override {
    const Index count = context->input(0).NumElements();
    const Index units = kGpu ? gpu::SquareSums(count) : (count + cpu::kSquaresBlock - 1) / cpu::kSquaresBlock;
    Tensor room;
    OP_REQUIRES_OK(context, context->allocate_temp(tensorflow::DT_DOUBLE, TensorShape({units}), &room));
    Tensor* result = nullptr;
    OP_REQUIRES_OK(context, context->allocate_output(0, TensorShape({}), &result));
    const float* from = Data(context, 0);
    double* sums = room.flat<double>().data();
    double* half = result->flat<double>().data();
    if constexpr (kGpu) {
      OP_REQUIRES_OK(context, gpu::HalfSquares(context, from, sums, half, count));
    } else {
      OverUnits(context, units, cpu::kSquaresBlock,
                [=](Index first, Index end) { cpu::SumSquares(from, sums, first, end, count); });
      double whole = 0;
      for (Index unit = 0; unit < units; unit++) whole += sums[unit];
      *half = 0.5 * whole;
    }
  }
};

inline void RegisterSquaresOps() {
  ESPALIER_OP("EspalierHalfSquares").Input("x: float").Output("half: double");
  ESPALIER_KERNEL("EspalierHalfSquares", HalfSquaresOp);
}

}  // namespace espalier
