// Rows that the sums of a refit are made of. A product comes last, so that the compiler has none to contract with a sum.
#include "cpu/kernels.h"
#include "cpu/math.h"

namespace espalier::cpu {

ESPALIER_CLONES
void RefitRows(const RefitInputs& in, const RefitShape& shape, float* __restrict x, float* __restrict r, Index first,
               Index end) {
  const auto [count, stride, columns, width] = shape;
  for (Index row = first; row < end; row++) {
    const float* features = in.features + row * stride;
    float* wide = x + row * columns;
    float* to = r + row * width;
    for (Index i = 0; i < count; i++) wide[i] = features[i];
    wide[count] = 1.f;
    for (Index i = count + 1; i < columns; i++) wide[i] = 0.f;
    const float* taught = in.taught + row * width;
    for (Index i = 0; i < width; i++) to[i] = taught[i];
    if (in.own != nullptr) {
      const float* own = in.own + row * width;
      for (Index i = 0; i < width; i++) to[i] -= own[i];
    }
    if (in.bias != nullptr) {
      const float* bias = in.bias;
      for (Index i = 0; i < width; i++) to[i] += bias[i];
    }
    if (in.added != nullptr) {
      const float* added = in.added + row * width;
      for (Index i = 0; i < width; i++) to[i] += added[i];
    }
    if (in.roots == nullptr) continue;
    const float root = in.roots[row];
    for (Index i = 0; i <= count; i++) wide[i] *= root;
    for (Index i = 0; i < width; i++) to[i] *= root;
  }
}

}  // namespace espalier::cpu
