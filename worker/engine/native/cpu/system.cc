#include "cpu/system.h"

// A product and a sum must not become one operation, whatever the processor has: it rounds once where they round twice.
#pragma GCC optimize("fp-contract=off")

namespace espalier::cpu {

void Widen(const WidenedPart& part, Index first, Index end) {
  const auto& [product, factor, to, rows, columns, stride] = part;
  for (Index row = first; row < end; row++) {
    const float* __restrict from = product + row * stride;
    double* __restrict wide = to + row * columns;
    for (Index i = 0; i < columns; i++) wide[i] = from[i];
    if (factor == nullptr) continue;
    const double* __restrict times = factor + row * columns;
    for (Index i = 0; i < columns; i++) wide[i] = times[i] * wide[i];
  }
}

void AddPart(const double* __restrict a, const double* __restrict b, double* __restrict to, Index first, Index end) {
  for (Index i = first; i < end; i++) to[i] = a[i] + b[i];
}

void Damp(const double* __restrict matrix, double damping, double* __restrict to, Index first, Index end, Index size,
          Index damped) {
  for (Index i = first * size; i < end * size; i++) to[i] = matrix[i];
  for (Index row = first; row < end && row < damped; row++) to[row * size + row] += damping;
}

void RidgeRight(const double* __restrict right, const double* __restrict pulled, double damping, double* __restrict to,
                Index first, Index end, Index rows, Index width) {
  for (Index row = first; row < end; row++)
    for (Index i = row * width; i < (row + 1) * width; i++) to[i] = right[i] + (row < rows - 1 ? damping * pulled[i] : 0.0);
}

void ErrorTerms(const double* __restrict projection, const double* __restrict product, const double* __restrict right,
                double* __restrict to, Index first, Index end) {
  for (Index i = first; i < end; i++) to[i] = projection[i] * (product[i] - (right[i] + right[i]));
}

void WholeMatrix(const Panels& panels, double* __restrict to, Index first, Index end) {
  const Index size = panels.size;
  Index own = 0;
  for (Index row = first; row < end; row++) {
    while (own + 1 < panels.count && panels.first[own + 1] <= row) own++;
    for (Index p = 0; p < own; p++) {
      const Index stride = size - panels.first[p];
      const double* column = panels.data[p] + row - panels.first[p];
      for (Index i = panels.first[p]; i < panels.first[p + 1]; i++)
        to[row * size + i] = column[(i - panels.first[p]) * stride];
    }
    const Index begin = panels.first[own];
    const double* __restrict from = panels.data[own] + (row - begin) * (size - begin);
    for (Index i = begin; i < size; i++) to[row * size + i] = from[i - begin];
  }
}

}  // namespace espalier::cpu
