// Between rows of all heads, as products make them, and matrices of one head, as batched products take them.
#include "cpu/kernels.h"
#include "cpu/math.h"

namespace espalier::cpu {

ESPALIER_CLONES
void SplitHeads(const float* __restrict x, const float* __restrict bias, float* const* out, Index parts, Index first, Index end,
                Index tokens, Index heads, Index size) {
  const Index width = parts * heads * size;
  for (Index sample = first; sample < end; sample++)
    for (Index part = 0; part < parts; part++)
      for (Index head = 0; head < heads; head++) {
        const Index column = (part * heads + head) * size;
        float* __restrict to = out[part] + (sample * heads + head) * tokens * size;
        for (Index token = 0; token < tokens; token++) {
          const float* from = x + (sample * tokens + token) * width + column;
          for (Index i = 0; i < size; i++) to[token * size + i] = from[i] + bias[column + i];
        }
      }
}

ESPALIER_CLONES
void MergeHeads(const float* const* in, float* __restrict y, Index parts, Index first, Index end, Index tokens, Index heads,
                Index size) {
  const Index width = parts * heads * size;
  for (Index sample = first; sample < end; sample++)
    for (Index part = 0; part < parts; part++)
      for (Index head = 0; head < heads; head++) {
        const float* __restrict from = in[part] + (sample * heads + head) * tokens * size;
        for (Index token = 0; token < tokens; token++) {
          float* to = y + (sample * tokens + token) * width + (part * heads + head) * size;
          for (Index i = 0; i < size; i++) to[i] = from[token * size + i];
        }
      }
}

ESPALIER_CLONES
void SplitDot(const float* __restrict dcontext, const float* __restrict context, float* __restrict dc, float* __restrict mask,
              Index first, Index end, Index tokens, Index heads, Index size) {
  const Index width = heads * size;
  for (Index sample = first; sample < end; sample++)
    for (Index head = 0; head < heads; head++) {
      // Thousands of terms of either sign: one float32 sum would lose the digits that are promised.
      double total = 0;
      for (Index token = 0; token < tokens; token++) {
        const Index at = (sample * tokens + token) * width + head * size;
        float sum = 0.f;
#pragma omp simd reduction(+ : sum)
        for (Index i = 0; i < size; i++) sum += dcontext[at + i] * context[at + i];
        total += sum;
      }
      mask[sample * heads + head] = static_cast<float>(total);
      if (dc == nullptr) continue;
      float* to = dc + (sample * heads + head) * tokens * size;
      for (Index token = 0; token < tokens; token++)
        for (Index i = 0; i < size; i++) to[token * size + i] = dcontext[(sample * tokens + token) * width + head * size + i];
    }
}

}  // namespace espalier::cpu
