// What linear systems are made of (cpu/system.h), float64. Each operation is rounded by itself: the compiler must not contract a
// product and a sum to one.

// Arguments, as cpu/system.h and gpu/launch_system.h have them.
constexpr int kMostParts = 16;

struct Panels {
  const double* data[kMostParts];
  Index first[kMostParts];
  Index count;
  Index size;
};

struct Gathered {
  const double* data[kMostParts];
  Index stride[kMostParts];
  Index first[kMostParts + 1];
  Index parts;
};

// factor may be null.
extern "C" __global__ void __launch_bounds__(kBlock) widen(const float* product, const double* factor, double* to, Index rows,
                                                           Index columns, Index stride) {
  for (Index row = blockIdx.x; row < rows; row += gridDim.x)
    for (Index column = threadIdx.x; column < columns; column += kBlock) {
      const double value = (double)product[row * stride + column];
      const Index at = row * columns + column;
      to[at] = factor == nullptr ? value : __dmul_rn(factor[at], value);
    }
}

extern "C" __global__ void __launch_bounds__(kBlock) add_part(const double* a, const double* b, double* to, Index count) {
  for (Index i = blockIdx.x * (Index)kBlock + threadIdx.x; i < count; i += gridDim.x * (Index)kBlock)
    to[i] = __dadd_rn(a[i], b[i]);
}

extern "C" __global__ void __launch_bounds__(kBlock) damp(const double* matrix, double damping, double* to, Index size,
                                                          Index damped) {
  for (Index row = blockIdx.x; row < size; row += gridDim.x)
    for (Index column = threadIdx.x; column < size; column += kBlock) {
      const double value = matrix[row * size + column];
      to[row * size + column] = row == column && row < damped ? __dadd_rn(value, damping) : value;
    }
}

extern "C" __global__ void __launch_bounds__(kBlock) ridge_right(const double* right, const double* pulled, double damping,
                                                                 double* to, Index rows, Index width) {
  for (Index row = blockIdx.x; row < rows; row += gridDim.x)
    for (Index column = threadIdx.x; column < width; column += kBlock) {
      const Index at = row * width + column;
      to[at] = __dadd_rn(right[at], row < rows - 1 ? __dmul_rn(damping, pulled[at]) : 0.0);
    }
}

extern "C" __global__ void __launch_bounds__(kBlock) error_terms(const double* projection, const double* product,
                                                                 const double* right, double* to, Index count) {
  for (Index i = blockIdx.x * (Index)kBlock + threadIdx.x; i < count; i += gridDim.x * (Index)kBlock)
    to[i] = __dmul_rn(projection[i], __dsub_rn(product[i], __dadd_rn(right[i], right[i])));
}

__device__ __forceinline__ int PanelOf(const Panels& panels, Index row) {
  int own = 0;
  while (own + 1 < panels.count && panels.first[own + 1] <= row) own++;
  return own;
}

// A tile of 32 x 32 a block. What lies left of a row's panel is read from above the diagonal, where it stands in a column: through
// shared memory, so that both sides go along rows.
extern "C" __global__ void __launch_bounds__(kWarp * 8) whole_matrix(Panels panels, double* to) {
  __shared__ double turned[kWarp][kWarp + 1];
  const Index top = blockIdx.y * (Index)kWarp;
  const Index left = blockIdx.x * (Index)kWarp;
  const Index size = panels.size;
  for (int line = threadIdx.y; line < kWarp; line += blockDim.y) {
    // The number at (row, column) of the mirrored tile, where it is above the diagonal.
    const Index row = left + line;
    const Index column = top + threadIdx.x;
    if (row >= size || column >= size) continue;
    const int own = PanelOf(panels, row);
    const Index first = panels.first[own];
    if (column >= first) turned[line][threadIdx.x] = panels.data[own][(row - first) * (size - first) + column - first];
  }
  __syncthreads();
  for (int line = threadIdx.y; line < kWarp; line += blockDim.y) {
    const Index row = top + line;
    const Index column = left + threadIdx.x;
    if (row >= size || column >= size) continue;
    const int own = PanelOf(panels, row);
    const Index first = panels.first[own];
    to[row * size + column] = column >= first ? panels.data[own][(row - first) * (size - first) + column - first]
                                              : turned[threadIdx.x][line];
  }
}

extern "C" __global__ void __launch_bounds__(kBlock) gather_parts(Gathered all, double* to) {
  const Index count = all.first[all.parts];
  for (Index i = blockIdx.x * (Index)kBlock + threadIdx.x; i < count; i += gridDim.x * (Index)kBlock) {
    int part = 0;
    while (all.first[part + 1] <= i) part++;
    to[i] = all.data[part][(i - all.first[part]) * all.stride[part]];
  }
}
