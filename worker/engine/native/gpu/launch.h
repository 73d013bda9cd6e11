// The GPU's side of the operations: kernels of gpu/*.cu on TensorFlow's stream. Shapes as in cpu/kernels.h, pointers into the
// device's memory. Nothing waits for the device.
#pragma once
#include "absl/status/status.h"
#include "cpu/kernels.h"

namespace tensorflow {
class OpKernelContext;
}

namespace espalier::gpu {

using Context = tensorflow::OpKernelContext;
using cpu::Index;

absl::Status BiasActivation(Context* context, Index kind, const float* h, const float* bias, float* a, Index rows, Index width);

absl::Status ActivationGrad(Context* context, Index kind, const float* da, const float* h, const float* bias, float* dh,
                            float* mask, Index samples, const int32_t* starts, Index rows, Index width);

absl::Status Norm(Context* context, const float* x, const float* bias, const float* residual, const float* gamma,
                  const float* beta, float epsilon, cpu::NormOutputs out, Index rows, Index width);

absl::Status NormGrad(Context* context, const float* dy, const float* dy2, const float* normalized,
                      const float* inverse_deviation, const float* gamma, float* dx, Index rows, Index width);

absl::Status Softmax(Context* context, const float* x, const float* mask, float* p, Index rows, Index width,
                     Index rows_per_mask);

absl::Status SoftmaxGrad(Context* context, const float* p, const float* dp, float* dx, Index rows, Index width);

absl::Status SplitHeads(Context* context, const float* x, const float* bias, float* const* out, Index parts, Index samples,
                        Index tokens, Index heads, Index size);

absl::Status MergeHeads(Context* context, const float* const* in, float* y, Index parts, Index samples, Index tokens,
                        Index heads, Index size);

absl::Status SplitDot(Context* context, const float* dcontext, const float* mixed, float* dc, float* mask, Index samples,
                      Index tokens, Index heads, Index size);

// Sizes of heads that VarlenAttention and its gradient are for.
bool HasVarlenAttention(Index size);

absl::Status VarlenAttention(Context* context, const cpu::VarlenShape& shape, const float* product, const float* bias,
                             float* mixed, float* log_sums);

absl::Status VarlenAttentionGrad(Context* context, const cpu::VarlenShape& shape, const float* dcontext, const float* mixed,
                                 const float* product, const float* bias, const float* log_sums, float* dproduct, float* mask);

absl::Status RefitRows(Context* context, const cpu::RefitInputs& in, const cpu::RefitShape& shape, float* x, float* r,
                       Index rows);

// How many sums HalfSquares makes of so many numbers before it adds them up.
Index SquareSums(Index count);

// @param sums room for those.
absl::Status HalfSquares(Context* context, const float* x, double* sums, double* half, Index count);

}  // namespace espalier::gpu
