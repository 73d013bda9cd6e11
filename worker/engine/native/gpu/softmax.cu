// Softmax over rows of x + mask, and its gradient. A warp takes kRows rows at a time, so that their reductions overlap, with
// kValues numbers of each row in a lane; longer rows have a block each. Of every rows_per_mask rows the mask has one.

constexpr float kLowest = -3.4e38f;

template <int kValues, int kRows>
__device__ __forceinline__ void SoftmaxRows(const float* x, const float* mask, float* p, Count rows, int width,
                                            Count rows_per_mask) {
  const Count first = (blockIdx.x * kWarps + threadIdx.y) * kRows;
  const int lane = threadIdx.x;
  float values[kRows][kValues];
  float most[kRows];
  float sum[kRows];
#pragma unroll
  for (int r = 0; r < kRows; r++) {
    const Count row = first + r;
    const float* added = mask != nullptr && row < rows ? mask + (Index)(row / rows_per_mask) * width : nullptr;
    most[r] = kLowest;
#pragma unroll
    for (int i = 0; i < kValues; i++) {
      const int column = i * kWarp + lane;
      const bool is_there = column < width && row < rows;
      values[r][i] = is_there ? x[(Index)row * width + column] : kLowest;
      if (is_there && added != nullptr) values[r][i] += added[column];
      most[r] = fmaxf(most[r], values[r][i]);
    }
  }
#pragma unroll
  for (int offset = kWarp / 2; offset > 0; offset /= 2)
#pragma unroll
    for (int r = 0; r < kRows; r++) most[r] = fmaxf(most[r], __shfl_xor_sync(kAllLanes, most[r], offset));
#pragma unroll
  for (int r = 0; r < kRows; r++) {
    sum[r] = 0.f;
#pragma unroll
    for (int i = 0; i < kValues; i++) {
      values[r][i] = i * kWarp + lane < width ? expf(values[r][i] - most[r]) : 0.f;
      sum[r] += values[r][i];
    }
  }
#pragma unroll
  for (int offset = kWarp / 2; offset > 0; offset /= 2)
#pragma unroll
    for (int r = 0; r < kRows; r++) sum[r] += __shfl_xor_sync(kAllLanes, sum[r], offset);
#pragma unroll
  for (int r = 0; r < kRows; r++) {
    const float share = 1.f / sum[r];
#pragma unroll
    for (int i = 0; i < kValues; i++) {
      const int column = i * kWarp + lane;
      if (column < width && first + r < rows) p[(Index)(first + r) * width + column] = values[r][i] * share;
    }
  }
}

template <int kValues, int kRows>
__device__ __forceinline__ void SoftmaxGradRows(const float* p, const float* dp, float* dx, Count rows, int width) {
  const Count first = (blockIdx.x * kWarps + threadIdx.y) * kRows;
  const int lane = threadIdx.x;
  float shares[kRows][kValues];
  float gradients[kRows][kValues];
  float sum[kRows];
#pragma unroll
  for (int r = 0; r < kRows; r++) {
    sum[r] = 0.f;
#pragma unroll
    for (int i = 0; i < kValues; i++) {
      const int column = i * kWarp + lane;
      const bool is_there = column < width && first + r < rows;
      shares[r][i] = is_there ? p[(Index)(first + r) * width + column] : 0.f;
      gradients[r][i] = is_there ? dp[(Index)(first + r) * width + column] : 0.f;
      sum[r] += shares[r][i] * gradients[r][i];
    }
  }
#pragma unroll
  for (int offset = kWarp / 2; offset > 0; offset /= 2)
#pragma unroll
    for (int r = 0; r < kRows; r++) sum[r] += __shfl_xor_sync(kAllLanes, sum[r], offset);
#pragma unroll
  for (int r = 0; r < kRows; r++) {
#pragma unroll
    for (int i = 0; i < kValues; i++) {
      const int column = i * kWarp + lane;
      if (column < width && first + r < rows)
        dx[(Index)(first + r) * width + column] = shares[r][i] * (gradients[r][i] - sum[r]);
    }
  }
}

// Rows of at most `longest`.
#define ESPALIER_SOFTMAX(longest, kValues, kRows)                                                                         \
  extern "C" __global__ void __launch_bounds__(kWarp * kWarps) softmax_##longest(                                         \
      const float* x, const float* mask, float* p, Count rows, Count width, Count rows_per_mask) {                        \
    SoftmaxRows<kValues, kRows>(x, mask, p, rows, (int)width, rows_per_mask);                                             \
  }                                                                                                                       \
  extern "C" __global__ void __launch_bounds__(kWarp * kWarps) softmax_grad_##longest(                                    \
      const float* p, const float* dp, float* dx, Count rows, Count width) {                                              \
    SoftmaxGradRows<kValues, kRows>(p, dp, dx, rows, (int)width);                                                         \
  }
ESPALIER_SOFTMAX(32, 1, 8)
ESPALIER_SOFTMAX(64, 2, 4)
ESPALIER_SOFTMAX(128, 4, 4)
ESPALIER_SOFTMAX(256, 8, 2)
ESPALIER_SOFTMAX(512, 16, 1)
#undef ESPALIER_SOFTMAX

// A block a row, of any width.
extern "C" __global__ void __launch_bounds__(kBlock)
    softmax_any(const float* x, const float* mask, float* p, Count rows, Count width, Count rows_per_mask) {
  const Index row = blockIdx.x;
  const float* added = mask == nullptr ? nullptr : mask + (Index)(blockIdx.x / rows_per_mask) * width;
  float most = kLowest;
  for (Index column = threadIdx.x; column < width; column += kBlock) {
    const float value = x[row * width + column] + (added == nullptr ? 0.f : added[column]);
    p[row * width + column] = value;
    most = fmaxf(most, value);
  }
  most = BlockReduce<true>(most);
  float sum = 0.f;
  for (Index column = threadIdx.x; column < width; column += kBlock) {
    const float value = expf(p[row * width + column] - most);
    p[row * width + column] = value;
    sum += value;
  }
  const float share = 1.f / BlockReduce<false>(sum);
  for (Index column = threadIdx.x; column < width; column += kBlock) p[row * width + column] *= share;
}

// A block a row, of any width.
extern "C" __global__ void __launch_bounds__(kBlock)
    softmax_grad_any(const float* p, const float* dp, float* dx, Count rows, Count width) {
  const Index row = blockIdx.x;
  float sum = 0.f;
  for (Index column = threadIdx.x; column < width; column += kBlock)
    sum += p[row * width + column] * dp[row * width + column];
  sum = BlockReduce<false>(sum);
  for (Index column = threadIdx.x; column < width; column += kBlock)
    dx[(Index)row * width + column] = p[row * width + column] * (dp[row * width + column] - sum);
}
