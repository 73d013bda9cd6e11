// One row of a softmax, in place, for the operations of their own and inside of attention.
#pragma once
#include "cpu/math.h"

namespace espalier::cpu {

// row = softmax(row + mask); the mask may be null.
ESPALIER_INLINE void SoftmaxRow(float* __restrict row, const float* __restrict mask, Index width) {
  if (mask != nullptr)
    for (Index i = 0; i < width; i++) row[i] += mask[i];
  float most = -3.4e38f;
#pragma omp simd reduction(max : most)
  for (Index i = 0; i < width; i++) most = row[i] > most ? row[i] : most;
  float sum = 0.f;
#pragma omp simd reduction(+ : sum)
  for (Index i = 0; i < width; i++) {
    const float e = Exp(row[i] - most);
    row[i] = e;
    sum += e;
  }
  const float share = 1.f / sum;
  for (Index i = 0; i < width; i++) row[i] *= share;
}

// row = p * (row - sum(p * row)), where row holds the gradient of p. Returns that sum.
ESPALIER_INLINE float SoftmaxGradRow(const float* __restrict p, float* __restrict row, Index width) {
  float sum = 0.f;
#pragma omp simd reduction(+ : sum)
  for (Index i = 0; i < width; i++) sum += p[i] * row[i];
  for (Index i = 0; i < width; i++) row[i] = p[i] * (row[i] - sum);
  return sum;
}

}  // namespace espalier::cpu
