// Kernels for NVIDIA GPUs, float32. These files are compiled as one, in the order of gpu/source.cc, by NVRTC on the machine that
// runs them. Shapes are those of cpu/kernels.h; launch.cc chooses kernel, blocks and threads. Sums have a fixed order: threads
// take every so many terms, then warps and blocks add up by a tree; nothing is added atomically.
using Index = long long;
// Counts that are divided by, which takes several times as long in 64 bits; launch.cc refuses larger ones.
using Count = unsigned;

constexpr unsigned kAllLanes = 0xffffffffu;
constexpr int kWarp = 32;
constexpr int kWarps = 4;
constexpr int kBlock = 256;
constexpr int kBlockWarps = kBlock / kWarp;

// Numbers that are read and written at once: one, or four where rows are a multiple of that.
template <int kLanes>
struct alignas(4 * kLanes) Pack {
  float at[kLanes];
};

__device__ __forceinline__ float WarpSum(float value) {
  for (int offset = kWarp / 2; offset > 0; offset /= 2) value += __shfl_xor_sync(kAllLanes, value, offset);
  return value;
}

__device__ __forceinline__ float WarpMax(float value) {
  for (int offset = kWarp / 2; offset > 0; offset /= 2) value = fmaxf(value, __shfl_xor_sync(kAllLanes, value, offset));
  return value;
}

// The sum, or the largest, over a block of kBlock threads, for all of them.
template <bool kMax>
__device__ __forceinline__ float BlockReduce(float value) {
  __shared__ float of_warps[kBlockWarps];
  __shared__ float of_block;
  value = kMax ? WarpMax(value) : WarpSum(value);
  if (threadIdx.x % kWarp == 0) of_warps[threadIdx.x / kWarp] = value;
  __syncthreads();
  if (threadIdx.x == 0) {
    float whole = of_warps[0];
    for (int warp = 1; warp < kBlockWarps; warp++) whole = kMax ? fmaxf(whole, of_warps[warp]) : whole + of_warps[warp];
    of_block = whole;
  }
  __syncthreads();
  const float whole = of_block;
  // Before the next reduction writes there.
  __syncthreads();
  return whole;
}
