// LayerNorm of x + bias + residual, and its gradient for dy + dy2; absent tensors are null.

// Widest row that a warp keeps in its registers: kPacks packs of four in each lane.
constexpr int kPacks = 8;

__device__ __forceinline__ Pack<4> AddPacks(Pack<4> a, Pack<4> b) {
#pragma unroll
  for (int lane = 0; lane < 4; lane++) a.at[lane] += b.at[lane];
  return a;
}

// A warp a row; width a multiple of 4, at most 1024.
extern "C" __global__ void __launch_bounds__(kWarp * kWarps)
    norm_warp(const Pack<4>* x, const Pack<4>* bias, const Pack<4>* residual, const Pack<4>* gamma, const Pack<4>* beta,
              float epsilon, Pack<4>* y, Pack<4>* normalized, float* inverse_deviation, Index rows, Index width) {
  const Index row = blockIdx.x * (Index)kWarps + threadIdx.y;
  if (row >= rows) return;
  const int packs = (int)(width / 4);
  const Index first = row * packs;
  Pack<4> values[kPacks];
  float sum = 0.f;
#pragma unroll
  for (int i = 0; i < kPacks; i++) {
    const int column = i * kWarp + threadIdx.x;
    if (column >= packs) continue;
    Pack<4> value = x[first + column];
    if (bias != nullptr) value = AddPacks(value, bias[column]);
    if (residual != nullptr) value = AddPacks(value, residual[first + column]);
    values[i] = value;
    sum += (value.at[0] + value.at[1]) + (value.at[2] + value.at[3]);
  }
  const float mean = WarpSum(sum) / (float)width;
  float squares = 0.f;
#pragma unroll
  for (int i = 0; i < kPacks; i++) {
    if (i * kWarp + threadIdx.x >= packs) continue;
#pragma unroll
    for (int lane = 0; lane < 4; lane++) {
      values[i].at[lane] -= mean;
      squares += values[i].at[lane] * values[i].at[lane];
    }
  }
  const float scale = 1.f / sqrtf(WarpSum(squares) / (float)width + epsilon);
  if (threadIdx.x == 0) inverse_deviation[row] = scale;
#pragma unroll
  for (int i = 0; i < kPacks; i++) {
    const int column = i * kWarp + threadIdx.x;
    if (column >= packs) continue;
    const Pack<4> factor = gamma[column];
    const Pack<4> offset = beta[column];
    Pack<4> result;
#pragma unroll
    for (int lane = 0; lane < 4; lane++) {
      values[i].at[lane] *= scale;
      result.at[lane] = values[i].at[lane] * factor.at[lane] + offset.at[lane];
    }
    normalized[first + column] = values[i];
    y[first + column] = result;
  }
}

// A block a row, of any width.
extern "C" __global__ void __launch_bounds__(kBlock)
    norm_any(const float* x, const float* bias, const float* residual, const float* gamma, const float* beta, float epsilon,
             float* y, float* normalized, float* inverse_deviation, Index rows, Index width) {
  const Index row = blockIdx.x;
  const Index first = row * width;
  float sum = 0.f;
  for (Index column = threadIdx.x; column < width; column += kBlock) {
    float value = x[first + column];
    if (bias != nullptr) value += bias[column];
    if (residual != nullptr) value += residual[first + column];
    normalized[first + column] = value;
    sum += value;
  }
  const float mean = BlockReduce<false>(sum) / (float)width;
  float squares = 0.f;
  for (Index column = threadIdx.x; column < width; column += kBlock) {
    const float centred = normalized[first + column] - mean;
    squares += centred * centred;
  }
  const float scale = 1.f / sqrtf(BlockReduce<false>(squares) / (float)width + epsilon);
  if (threadIdx.x == 0) inverse_deviation[row] = scale;
  for (Index column = threadIdx.x; column < width; column += kBlock) {
    const float value = (normalized[first + column] - mean) * scale;
    normalized[first + column] = value;
    y[first + column] = value * gamma[column] + beta[column];
  }
}

// A warp a row; width a multiple of 4, at most 1024.
extern "C" __global__ void __launch_bounds__(kWarp * kWarps)
    norm_grad_warp(const Pack<4>* dy, const Pack<4>* dy2, const Pack<4>* normalized, const float* inverse_deviation,
                   const Pack<4>* gamma, Pack<4>* dx, Index rows, Index width) {
  const Index row = blockIdx.x * (Index)kWarps + threadIdx.y;
  if (row >= rows) return;
  const int packs = (int)(width / 4);
  const Index first = row * packs;
  Pack<4> gradients[kPacks];
  Pack<4> values[kPacks];
  float sum = 0.f;
  float projection = 0.f;
#pragma unroll
  for (int i = 0; i < kPacks; i++) {
    const int column = i * kWarp + threadIdx.x;
    if (column >= packs) continue;
    Pack<4> gradient = dy[first + column];
    if (dy2 != nullptr) gradient = AddPacks(gradient, dy2[first + column]);
    const Pack<4> factor = gamma[column];
    values[i] = normalized[first + column];
#pragma unroll
    for (int lane = 0; lane < 4; lane++) {
      gradient.at[lane] *= factor.at[lane];
      sum += gradient.at[lane];
      projection += gradient.at[lane] * values[i].at[lane];
    }
    gradients[i] = gradient;
  }
  const float mean = WarpSum(sum) / (float)width;
  projection = WarpSum(projection) / (float)width;
  const float scale = inverse_deviation[row];
#pragma unroll
  for (int i = 0; i < kPacks; i++) {
    const int column = i * kWarp + threadIdx.x;
    if (column >= packs) continue;
    Pack<4> result;
#pragma unroll
    for (int lane = 0; lane < 4; lane++)
      result.at[lane] = (gradients[i].at[lane] - mean - values[i].at[lane] * projection) * scale;
    dx[first + column] = result;
  }
}

// A block a row, of any width.
extern "C" __global__ void __launch_bounds__(kBlock)
    norm_grad_any(const float* dy, const float* dy2, const float* normalized, const float* inverse_deviation,
                  const float* gamma, float* dx, Index rows, Index width) {
  const Index row = blockIdx.x;
  const Index first = row * width;
  float sum = 0.f;
  float projection = 0.f;
  for (Index column = threadIdx.x; column < width; column += kBlock) {
    float gradient = dy[first + column];
    if (dy2 != nullptr) gradient += dy2[first + column];
    gradient *= gamma[column];
    dx[first + column] = gradient;
    sum += gradient;
    projection += gradient * normalized[first + column];
  }
  const float mean = BlockReduce<false>(sum) / (float)width;
  projection = BlockReduce<false>(projection) / (float)width;
  const float scale = inverse_deviation[row];
  for (Index column = threadIdx.x; column < width; column += kBlock)
    dx[first + column] = (dx[first + column] - mean - normalized[first + column] * projection) * scale;
}
