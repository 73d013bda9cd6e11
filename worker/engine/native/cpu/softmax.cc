// Softmax over rows, with the padding's mask, and its gradient.
#include "cpu/kernels.h"
#include "cpu/math.h"
#include "cpu/softmax_row.h"

namespace espalier::cpu {

ESPALIER_CLONES
void Softmax(const float* __restrict x, const float* __restrict mask, float* __restrict p, Index first, Index end, Index width,
             Index rows_per_mask) {
  for (Index row = first; row < end; row++) {
    const float* from = x + row * width;
    float* to = p + row * width;
    for (Index i = 0; i < width; i++) to[i] = from[i];
    SoftmaxRow(to, mask == nullptr ? nullptr : mask + row / rows_per_mask * width, width);
  }
}

ESPALIER_CLONES
void SoftmaxGrad(const float* __restrict p, const float* __restrict dp, float* __restrict dx, Index first, Index end,
                 Index width) {
  for (Index row = first; row < end; row++) {
    float* to = dx + row * width;
    for (Index i = 0; i < width; i++) to[i] = dp[row * width + i];
    SoftmaxGradRow(p + row * width, to, width);
  }
}

}  // namespace espalier::cpu
