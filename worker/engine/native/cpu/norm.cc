// LayerNorm of a sub-layer's output, with its bias and residual, and its gradient.
#include <cmath>

#include "cpu/kernels.h"
#include "cpu/math.h"

namespace espalier::cpu {

ESPALIER_CLONES
void Norm(const float* __restrict x, const float* __restrict bias, const float* __restrict residual,
          const float* __restrict gamma, const float* __restrict beta, float epsilon, NormOutputs out, Index first, Index end,
          Index width) {
  for (Index row = first; row < end; row++) {
    const float* from = x + row * width;
    float* __restrict normalized = out.normalized + row * width;
    float* __restrict y = out.y + row * width;
    for (Index i = 0; i < width; i++) normalized[i] = from[i];
    if (bias != nullptr)
      for (Index i = 0; i < width; i++) normalized[i] += bias[i];
    if (residual != nullptr) {
      const float* added = residual + row * width;
      for (Index i = 0; i < width; i++) normalized[i] += added[i];
    }
    float sum = 0.f;
#pragma omp simd reduction(+ : sum)
    for (Index i = 0; i < width; i++) sum += normalized[i];
    const float mean = sum / static_cast<float>(width);
    float squares = 0.f;
#pragma omp simd reduction(+ : squares)
    for (Index i = 0; i < width; i++) {
      const float centred = normalized[i] - mean;
      squares += centred * centred;
    }
    const float scale = 1.f / std::sqrt(squares / static_cast<float>(width) + epsilon);
    out.inverse_deviation[row] = scale;
    for (Index i = 0; i < width; i++) {
      const float value = (normalized[i] - mean) * scale;
      normalized[i] = value;
      y[i] = value * gamma[i] + beta[i];
    }
  }
}

ESPALIER_CLONES
void NormGrad(const float* __restrict dy, const float* __restrict dy2, const float* __restrict normalized,
              const float* __restrict inverse_deviation, const float* __restrict gamma, float* __restrict dx, Index first,
              Index end, Index width) {
  for (Index row = first; row < end; row++) {
    const float* incoming = dy + row * width;
    const float* values = normalized + row * width;
    float* to = dx + row * width;
    if (dy2 == nullptr) {
      for (Index i = 0; i < width; i++) to[i] = incoming[i] * gamma[i];
    } else {
      const float* second = dy2 + row * width;
      for (Index i = 0; i < width; i++) to[i] = (incoming[i] + second[i]) * gamma[i];
    }
    float sum = 0.f;
    float projection = 0.f;
#pragma omp simd reduction(+ : sum, projection)
    for (Index i = 0; i < width; i++) {
      sum += to[i];
      projection += to[i] * values[i];
    }
    const float mean = sum / static_cast<float>(width);
    projection /= static_cast<float>(width);
    const float scale = inverse_deviation[row];
    for (Index i = 0; i < width; i++) to[i] = (to[i] - mean - values[i] * projection) * scale;
  }
}

}  // namespace espalier::cpu
