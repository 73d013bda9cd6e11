// Between rows of all heads, as products make them, and matrices of one head, as batched products take them. Sizes of heads are
// in packs.

// Where the pack of row `row` and column `column` of [samples * tokens, parts * heads * size] lies in its part.
__device__ __forceinline__ Index PlaceInPart(Count row, Count column, Count tokens, Count heads, Count size, Count* part) {
  const Count head = column / size % heads;
  *part = column / (heads * size);
  const Count sample = row / tokens;
  return ((Index)(sample * heads + head) * tokens + (row - sample * tokens)) * size + column % size;
}

template <int kLanes>
__device__ __forceinline__ void SplitHeads(const Pack<kLanes>* x, const Pack<kLanes>* bias, Pack<kLanes>* out0,
                                           Pack<kLanes>* out1, Pack<kLanes>* out2, Count count, Count parts, Count tokens,
                                           Count heads, Count size) {
  const Count width = parts * heads * size;
  for (Count i = blockIdx.x * kBlock + threadIdx.x; i < count; i += gridDim.x * kBlock) {
    const Count row = i / width;
    const Count column = i - row * width;
    Count part;
    const Index at = PlaceInPart(row, column, tokens, heads, size, &part);
    Pack<kLanes> value = x[i];
    const Pack<kLanes> added = bias[column];
#pragma unroll
    for (int lane = 0; lane < kLanes; lane++) value.at[lane] += added.at[lane];
    (part == 0 ? out0 : part == 1 ? out1 : out2)[at] = value;
  }
}

template <int kLanes>
__device__ __forceinline__ void MergeHeads(const Pack<kLanes>* in0, const Pack<kLanes>* in1, const Pack<kLanes>* in2,
                                           Pack<kLanes>* y, Count count, Count parts, Count tokens, Count heads, Count size) {
  const Count width = parts * heads * size;
  for (Count i = blockIdx.x * kBlock + threadIdx.x; i < count; i += gridDim.x * kBlock) {
    const Count row = i / width;
    Count part;
    const Index at = PlaceInPart(row, i - row * width, tokens, heads, size, &part);
    y[i] = (part == 0 ? in0 : part == 1 ? in1 : in2)[at];
  }
}

// A block has one sample (x) and one head (y). dc may be null.
template <int kLanes>
__device__ __forceinline__ void SplitDot(const Pack<kLanes>* dcontext, const Pack<kLanes>* mixed, Pack<kLanes>* dc, float* mask,
                                         Count tokens, Count heads, Count size) {
  const Count sample = blockIdx.x;
  const Count head = blockIdx.y;
  float sum = 0.f;
  for (Count i = threadIdx.x; i < tokens * size; i += kBlock) {
    const Count token = i / size;
    const Index at = ((Index)(sample * tokens + token) * heads + head) * size + (i - token * size);
    const Pack<kLanes> incoming = dcontext[at];
    const Pack<kLanes> value = mixed[at];
#pragma unroll
    for (int lane = 0; lane < kLanes; lane++) sum += incoming.at[lane] * value.at[lane];
    if (dc != nullptr) dc[(Index)(sample * heads + head) * tokens * size + i] = incoming;
  }
  sum = BlockReduce<false>(sum);
  if (threadIdx.x == 0) mask[sample * heads + head] = sum;
}

#define ESPALIER_HEADS(kLanes)                                                                                             \
  extern "C" __global__ void __launch_bounds__(kBlock) split_heads_x##kLanes(                                              \
      const Pack<kLanes>* x, const Pack<kLanes>* bias, Pack<kLanes>* out0, Pack<kLanes>* out1, Pack<kLanes>* out2,         \
      Count count, Count parts, Count tokens, Count heads, Count size) {                                                   \
    SplitHeads<kLanes>(x, bias, out0, out1, out2, count, parts, tokens, heads, size);                                      \
  }                                                                                                                        \
  extern "C" __global__ void __launch_bounds__(kBlock) merge_heads_x##kLanes(                                              \
      const Pack<kLanes>* in0, const Pack<kLanes>* in1, const Pack<kLanes>* in2, Pack<kLanes>* y, Count count, Count parts, \
      Count tokens, Count heads, Count size) {                                                                             \
    MergeHeads<kLanes>(in0, in1, in2, y, count, parts, tokens, heads, size);                                               \
  }                                                                                                                        \
  extern "C" __global__ void __launch_bounds__(kBlock) split_dot_x##kLanes(                                                \
      const Pack<kLanes>* dcontext, const Pack<kLanes>* mixed, Pack<kLanes>* dc, float* mask, Count tokens, Count heads,   \
      Count size) {                                                                                                        \
    SplitDot<kLanes>(dcontext, mixed, dc, mask, tokens, heads, size);                                                      \
  }
ESPALIER_HEADS(1)
ESPALIER_HEADS(4)
#undef ESPALIER_HEADS
