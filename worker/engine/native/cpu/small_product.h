// Products of matrices that lie in the cache, for one head of one sample. Tiles of kRows x kColumns of the result stay in
// registers; a build of each form is made for one instruction set.
#pragma once
#include "cpu/math.h"

namespace espalier::cpu {

constexpr Index kLanes = 16;
typedef float Vector __attribute__((vector_size(kLanes * sizeof(float)), aligned(4)));

// Columns of a matrix are padded to whole tiles.
ESPALIER_INLINE Index Padded(Index columns, Index tile) { return (columns + tile - 1) / tile * tile; }

// a [rows, inner] by strides, so that a transposed matrix needs no copy.
struct Strided {
  const float* data;
  Index row;
  Index column;
};

template <int kRows, int kVectors>
ESPALIER_INLINE void Tile(Index inner, Strided a, const float* b, Index b_stride, float* c, Index c_stride) {
  Vector sums[kRows][kVectors];
#pragma GCC unroll 16
  for (int i = 0; i < kRows; i++)
#pragma GCC unroll 4
    for (int j = 0; j < kVectors; j++) sums[i][j] = Vector{};
  for (Index k = 0; k < inner; k++) {
    Vector row[kVectors];
#pragma GCC unroll 4
    for (int j = 0; j < kVectors; j++) row[j] = *reinterpret_cast<const Vector*>(b + k * b_stride + j * kLanes);
#pragma GCC unroll 16
    for (int i = 0; i < kRows; i++) {
      const float factor = a.data[i * a.row + k * a.column];
#pragma GCC unroll 4
      for (int j = 0; j < kVectors; j++) sums[i][j] += factor * row[j];
    }
  }
#pragma GCC unroll 16
  for (int i = 0; i < kRows; i++)
#pragma GCC unroll 4
    for (int j = 0; j < kVectors; j++) *reinterpret_cast<Vector*>(c + i * c_stride + j * kLanes) = sums[i][j];
}

// c [rows, columns] = a [rows, inner] b [inner, columns], columns a multiple of kVectors * kLanes.
template <int kRows, int kVectors>
ESPALIER_INLINE void Product(Index rows, Index columns, Index inner, Strided a, const float* b, Index b_stride, float* c,
                             Index c_stride) {
  for (Index j = 0; j < columns; j += kVectors * kLanes) {
    Index i = 0;
    for (; i + kRows <= rows; i += kRows)
      Tile<kRows, kVectors>(inner, {a.data + i * a.row, a.row, a.column}, b + j, b_stride, c + i * c_stride + j, c_stride);
    for (; i < rows; i++)
      Tile<1, kVectors>(inner, {a.data + i * a.row, a.row, a.column}, b + j, b_stride, c + i * c_stride + j, c_stride);
  }
}

}  // namespace espalier::cpu
