// Rows that the sums of a refit are made of (cpu/kernels.h), a warp a row. A product comes last, so that the compiler has none to
// contract with a sum. Strides, columns and widths are in packs, `count` in numbers.

template <int kLanes>
__device__ __forceinline__ void RefitFeatures(const Pack<kLanes>* __restrict__ features, const float* __restrict__ roots,
                                              Pack<kLanes>* __restrict__ x, Index rows, Index count, Index stride,
                                              Index columns) {
  const Index row = blockIdx.x * (Index)kWarps + threadIdx.y;
  if (row >= rows) return;
  const float root = roots == nullptr ? 1.f : roots[row];
  for (Index column = threadIdx.x; column < columns; column += kWarp) {
    Pack<kLanes> value;
    // The last pack that counts may reach beyond the count, but not beyond the row.
    if (column * kLanes < count) value = features[row * stride + column];
#pragma unroll
    for (int lane = 0; lane < kLanes; lane++) {
      const Index at = column * kLanes + lane;
      value.at[lane] = at < count ? value.at[lane] * root : at == count ? root : 0.f;
    }
    x[row * columns + column] = value;
  }
}

// added, own, bias and roots may be null.
template <int kLanes>
__device__ __forceinline__ void RefitTargets(const Pack<kLanes>* __restrict__ added, const Pack<kLanes>* __restrict__ taught,
                                             const Pack<kLanes>* __restrict__ own, const Pack<kLanes>* __restrict__ bias,
                                             const float* __restrict__ roots, Pack<kLanes>* __restrict__ r, Index rows,
                                             Index width) {
  const Index row = blockIdx.x * (Index)kWarps + threadIdx.y;
  if (row >= rows) return;
  const float root = roots == nullptr ? 1.f : roots[row];
  // What is absent is read from elsewhere and not used: without branches all reads are under way together.
  const Pack<kLanes>* __restrict__ subtracted = own == nullptr ? taught : own;
  const Pack<kLanes>* __restrict__ offset = bias == nullptr ? taught : bias;
  const Pack<kLanes>* __restrict__ product = added == nullptr ? taught : added;
  for (Index column = threadIdx.x; column < width; column += kWarp) {
    const Index at = row * width + column;
    Pack<kLanes> value = taught[at];
    const Pack<kLanes> second = subtracted[at];
    const Pack<kLanes> third = offset[column];
    const Pack<kLanes> fourth = product[at];
#pragma unroll
    for (int lane = 0; lane < kLanes; lane++) {
      float sum = value.at[lane];
      sum = own == nullptr ? sum : sum - second.at[lane];
      sum = bias == nullptr ? sum : sum + third.at[lane];
      sum = added == nullptr ? sum : fourth.at[lane] + sum;
      value.at[lane] = sum * root;
    }
    r[at] = value;
  }
}

#define ESPALIER_REFIT(kLanes)                                                                                           \
  extern "C" __global__ void __launch_bounds__(kWarp * kWarps) refit_features_x##kLanes(                                 \
      const Pack<kLanes>* features, const float* roots, Pack<kLanes>* x, Index rows, Index count, Index stride,          \
      Index columns) {                                                                                                   \
    RefitFeatures<kLanes>(features, roots, x, rows, count, stride, columns);                                             \
  }                                                                                                                      \
  extern "C" __global__ void __launch_bounds__(kWarp * kWarps) refit_targets_x##kLanes(                                  \
      const Pack<kLanes>* added, const Pack<kLanes>* taught, const Pack<kLanes>* own, const Pack<kLanes>* bias,          \
      const float* roots, Pack<kLanes>* r, Index rows, Index width) {                                                    \
    RefitTargets<kLanes>(added, taught, own, bias, roots, r, rows, width);                                               \
  }
ESPALIER_REFIT(1)
ESPALIER_REFIT(4)
#undef ESPALIER_REFIT
