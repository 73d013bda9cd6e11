// Half the sum of squares of float32 numbers, in float64: a sum a block, then one block adds those up.

// The sum over a block of kBlock threads, for all of them. Once a kernel.
__device__ __forceinline__ double BlockSum64(double value) {
  __shared__ double of_warps[kBlockWarps];
  for (int offset = kWarp / 2; offset > 0; offset /= 2) value += __shfl_xor_sync(kAllLanes, value, offset);
  if (threadIdx.x % kWarp == 0) of_warps[threadIdx.x / kWarp] = value;
  __syncthreads();
  double whole = of_warps[0];
  for (int warp = 1; warp < kBlockWarps; warp++) whole += of_warps[warp];
  return whole;
}

// count in packs.
template <int kLanes>
__device__ __forceinline__ void SumSquares(const Pack<kLanes>* __restrict__ x, double* __restrict__ sums, Index count) {
  double sum = 0;
#pragma unroll 4
  for (Index i = blockIdx.x * (Index)kBlock + threadIdx.x; i < count; i += gridDim.x * (Index)kBlock) {
    const Pack<kLanes> value = x[i];
#pragma unroll
    for (int lane = 0; lane < kLanes; lane++) sum += (double)value.at[lane] * (double)value.at[lane];
  }
  sum = BlockSum64(sum);
  if (threadIdx.x == 0) sums[blockIdx.x] = sum;
}

#define ESPALIER_SQUARES(kLanes)                                                       \
  extern "C" __global__ void __launch_bounds__(kBlock) sum_squares_x##kLanes(          \
      const Pack<kLanes>* x, double* sums, Index count) {                              \
    SumSquares<kLanes>(x, sums, count);                                                \
  }
ESPALIER_SQUARES(1)
ESPALIER_SQUARES(4)
#undef ESPALIER_SQUARES

extern "C" __global__ void __launch_bounds__(kBlock) half_sum(const double* sums, double* half, Index count) {
  double sum = 0;
  for (Index i = threadIdx.x; i < count; i += kBlock) sum += sums[i];
  sum = BlockSum64(sum);
  if (threadIdx.x == 0) *half = 0.5 * sum;
}
