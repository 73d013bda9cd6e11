// The CPU's side of the operations that linear systems are made of, float64 where not said otherwise, row-major. Every number is made
// by the single operations that are written here, in this order and each rounded: bits are those of plain kernels. Units: rows.
#pragma once
#include "cpu/kernels.h"

namespace espalier::cpu {

// Parts that one operation takes at most.
constexpr Index kMostParts = 16;

// A matrix [rows, columns] whose rows are `stride` numbers apart.
struct WidenedPart {
  const float* product;
  // [rows, columns]; may be null.
  const double* factor;
  double* to;
  Index rows;
  Index columns;
  Index stride;
};

// The first rows and columns of a float32 product, times the factor.
void Widen(const WidenedPart& part, Index first, Index end);

// a + b, any shape. Units: numbers.
void AddPart(const double* a, const double* b, double* to, Index first, Index end);

// The matrix [size, size] with `damping` added to the first `damped` numbers of its diagonal.
void Damp(const double* matrix, double damping, double* to, Index first, Index end, Index size, Index damped);

// right + damping * pulled, both [rows, width]; of the last row right + 0.
void RidgeRight(const double* right, const double* pulled, double damping, double* to, Index first, Index end, Index rows,
                Index width);

// projection * (product - (right + right)), any shape. Units: numbers.
void ErrorTerms(const double* projection, const double* product, const double* right, double* to, Index first, Index end);

// Panels of neighbouring rows of a symmetric matrix [size, size] from the diagonal on: of each its first row and
// [rows, size - first].
struct Panels {
  const double* data[kMostParts];
  Index first[kMostParts];
  Index count;
  Index size;
};

// All of the matrix.
void WholeMatrix(const Panels& panels, double* to, Index first, Index end);

}  // namespace espalier::cpu
