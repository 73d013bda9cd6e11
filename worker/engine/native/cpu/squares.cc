// Sums of squares of float32 numbers, in float64.
#include "cpu/kernels.h"
#include "cpu/math.h"

namespace espalier::cpu {

ESPALIER_CLONES
void SumSquares(const float* __restrict x, double* __restrict sums, Index first, Index end, Index count) {
  for (Index unit = first; unit < end; unit++) {
    const Index begin = unit * kSquaresBlock;
    const Index numbers = count - begin < kSquaresBlock ? count - begin : kSquaresBlock;
    const float* from = x + begin;
    double sum = 0;
#pragma omp simd reduction(+ : sum)
    for (Index i = 0; i < numbers; i++) sum += static_cast<double>(from[i]) * static_cast<double>(from[i]);
    sums[unit] = sum;
  }
}

}  // namespace espalier::cpu
