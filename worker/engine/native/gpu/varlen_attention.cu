// Attention of samples that lie one after the other, each with its own length, and its gradient: softmax(q kᵀ) v without the
// scores ever being in the device's memory (Dao 2023, FlashAttention-2). Products round their inputs to float16, which has
// TF32's 10 bits, and add up in float32. A block has 64 rows each of what it multiplies in shared memory, a warp takes 16 of them.
//
// Sample s has rows starts[s] to starts[s + 1], of which the first lengths[s] are tokens and the others padding, which gets
// zeros. A row of the product holds query, key and value of all heads; biases are added when it is read.
//
// For compute capability 8.0 and above, as TF32 is.
#if __CUDA_ARCH__ >= 800
using Half = unsigned short;

constexpr int kTile = 64;
constexpr int kTileThreads = 128;
constexpr int kWarpRows = 16;
// Rows that are multiplied with at once, and dropped where none of them is there.
constexpr int kSlab = 32;
constexpr float kLog2E = 1.44269504f;

// Numbers between two rows in shared memory: 8 rows of 16 bytes lie in different banks.
template <int kSize>
constexpr int kRowStride = kSize + 8;
constexpr int kScoreStride = kRowStride<kTile>;

struct Samples {
  const int* starts;
  const int* lengths;
};

// Two numbers rounded, the first in the lower half.
__device__ __forceinline__ unsigned HalfPair(float first, float second) {
  unsigned pair;
  asm("cvt.rn.f16x2.f32 %0, %1, %2;" : "=r"(pair) : "f"(second), "f"(first));
  return pair;
}

__device__ __forceinline__ float Exp2(float value) {
  float power;
  asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(power) : "f"(value));
  return power;
}

// Four matrices [8, 8] of shared memory; lanes 8m to 8m + 7 name the rows of matrix m. Lane 4g + t gets the elements (g, 2t) and
// (g, 2t + 1) of each, or of their transposes.
template <bool kTransposed>
__device__ __forceinline__ void LoadMatrices(unsigned (&to)[4], const Half* row) {
  const unsigned at = (unsigned)__cvta_generic_to_shared(row);
  if (kTransposed)
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0, %1, %2, %3}, [%4];"
                 : "=r"(to[0]), "=r"(to[1]), "=r"(to[2]), "=r"(to[3])
                 : "r"(at));
  else
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];"
                 : "=r"(to[0]), "=r"(to[1]), "=r"(to[2]), "=r"(to[3])
                 : "r"(at));
}

// c [16, 8] += a [16, 16] b [16, 8]; of c lane 4g + t has (g, 2t), (g, 2t + 1), (g + 8, 2t) and (g + 8, 2t + 1).
__device__ __forceinline__ void MultiplyAdd(float (&c)[4], const unsigned (&a)[4], unsigned b0, unsigned b1) {
  asm("mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"
      : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
}

// Two results of MultiplyAdd, side by side, as a left factor.
__device__ __forceinline__ void AsLeft(unsigned (&a)[4], const float (&first)[4], const float (&second)[4]) {
  a[0] = HalfPair(first[0], first[1]);
  a[1] = HalfPair(first[2], first[3]);
  a[2] = HalfPair(second[0], second[1]);
  a[3] = HalfPair(second[2], second[3]);
}

// The warp's 16 rows of a tile as left factors.
template <int kSize>
__device__ __forceinline__ void LoadLeft(unsigned (&left)[kSize / 16][4], const Half* rows) {
  const int lane = threadIdx.x % kWarp;
#pragma unroll
  for (int k = 0; k < kSize / 16; k++)
    LoadMatrices<false>(left[k], rows + lane % 16 * kRowStride<kSize> + k * 16 + lane / 16 * 8);
}

// c [16, kSlab] = left · rowsᵀ, over the head's size.
template <int kSize>
__device__ __forceinline__ void TimesRows(float (&c)[kSlab / 8][4], const unsigned (&left)[kSize / 16][4], const Half* rows) {
  const int lane = threadIdx.x % kWarp;
#pragma unroll
  for (int n = 0; n < kSlab / 8; n++) {
#pragma unroll
    for (int i = 0; i < 4; i++) c[n][i] = 0.f;
#pragma unroll
    for (int k = 0; k < kSize / 32; k++) {
      unsigned b[4];
      LoadMatrices<false>(b, rows + (n * 8 + lane % 8) * kRowStride<kSize> + k * 32 + lane / 8 * 8);
      MultiplyAdd(c[n], left[2 * k], b[0], b[1]);
      MultiplyAdd(c[n], left[2 * k + 1], b[2], b[3]);
    }
  }
}

// sums [16, kColumns] += left [16, 16] · 16 rows.
template <int kSize, int kColumns>
__device__ __forceinline__ void AddTimes(float (&sums)[kColumns / 8][4], const unsigned (&left)[4], const Half* rows) {
  const int lane = threadIdx.x % kWarp;
#pragma unroll
  for (int d = 0; d < kColumns / 16; d++) {
    unsigned b[4];
    LoadMatrices<true>(b, rows + lane % 16 * kRowStride<kSize> + d * 16 + lane / 16 * 8);
    MultiplyAdd(sums[2 * d], left, b[0], b[1]);
    MultiplyAdd(sums[2 * d + 1], left, b[2], b[3]);
  }
}

// How `kThreads` threads share kTile rows of a head: four numbers of a row each at once.
template <int kSize, int kThreads>
struct TileShare {
  static constexpr int kPacks = kSize / 4;
  static constexpr int kRowsAtOnce = kThreads / kPacks;
  static constexpr int kTurns = kTile / kRowsAtOnce;
};

// Begins to copy up to kTile rows of a head as they are: each thread its own share, which it alone reads.
template <int kSize, int kThreads>
__device__ __forceinline__ void BeginCopy(float* staged, const float* from, Index stride, int count) {
  using Share = TileShare<kSize, kThreads>;
  const int column = threadIdx.x % Share::kPacks * 4;
  const int first = threadIdx.x / Share::kPacks;
  from += first * stride + column;
#pragma unroll
  for (int i = 0; i < Share::kTurns; i++)
    if (first + i * Share::kRowsAtOnce < count) {
      const unsigned to = (unsigned)__cvta_generic_to_shared(staged + (i * kThreads + threadIdx.x) * 4);
      asm volatile("cp.async.cg.shared.global [%0], [%1], 16;" ::"r"(to), "l"(from + i * Share::kRowsAtOnce * stride));
    }
}

__device__ __forceinline__ void EndCopies() { asm volatile("cp.async.wait_all;" ::: "memory"); }

// Rows that were copied to a tile: (row + bias) * factor, rounded; zeros after `count`. @param bias of the head, or null.
template <int kSize, int kThreads>
__device__ __forceinline__ void RoundTile(Half* tile, const float* staged, const float* bias, float factor, int count) {
  using Share = TileShare<kSize, kThreads>;
  const int column = threadIdx.x % Share::kPacks * 4;
  const int first = threadIdx.x / Share::kPacks;
  Pack<4> added = {};
  if (bias != nullptr) added = *reinterpret_cast<const Pack<4>*>(bias + column);
#pragma unroll
  for (int i = 0; i < Share::kTurns; i++) {
    const int row = first + i * Share::kRowsAtOnce;
    uint2 rounded = make_uint2(0, 0);
    if (row < count) {
      const auto value = *reinterpret_cast<const Pack<4>*>(staged + (i * kThreads + threadIdx.x) * 4);
      float sum[4];
#pragma unroll
      for (int j = 0; j < 4; j++) sum[j] = (value.at[j] + added.at[j]) * factor;
      rounded = make_uint2(HalfPair(sum[0], sum[1]), HalfPair(sum[2], sum[3]));
    }
    *reinterpret_cast<uint2*>(tile + row * kRowStride<kSize> + column) = rounded;
  }
}

__device__ __forceinline__ float QuadSum(float value) {
  value += __shfl_xor_sync(kAllLanes, value, 1);
  return value + __shfl_xor_sync(kAllLanes, value, 2);
}

__device__ __forceinline__ float QuadMax(float value) {
  value = fmaxf(value, __shfl_xor_sync(kAllLanes, value, 1));
  return fmaxf(value, __shfl_xor_sync(kAllLanes, value, 2));
}

__device__ __forceinline__ void WritePair(float* at, float first, float second) {
  *reinterpret_cast<float2*>(at) = make_float2(first, second);
}

// Zeros in kSize columns of rows from `first` to `end`.
template <int kSize, int kThreads>
__device__ __forceinline__ void ZeroRows(float* to, Index stride, int first, int end) {
  for (int i = first * kSize + threadIdx.x; i < end * kSize; i += kThreads) to[i / kSize * stride + i % kSize] = 0.f;
}

// A block a head of a sample and kTile of its queries, those of one head after each other, which read the same keys. log_sums
// [heads, rows]: the logarithm to base 2 of each softmax's sum, which the gradient reads.
template <int kSize>
__device__ __forceinline__ void VarlenAttention(const float* product, const float* bias, Samples samples, float* context,
                                                float* log_sums, int heads, int tiles, Index rows) {
  extern __shared__ __align__(16) Half shared[];
  constexpr int kStride = kRowStride<kSize>;
  Half* const keys = shared;
  Half* const values = keys + kTile * kStride;
  float* const staged_keys = reinterpret_cast<float*>(values + kTile * kStride);
  float* const staged_values = staged_keys + kTile * kSize;
  const int head = blockIdx.x / tiles % heads;
  const int sample = blockIdx.x / tiles / heads;
  const int start = samples.starts[sample];
  const int padded = samples.starts[sample + 1] - start;
  const int length = samples.lengths[sample];
  const int first = (int)(blockIdx.x % tiles) * kTile;
  if (first >= padded) return;
  const Index width = (Index)heads * kSize;
  const float* const own = product + start * 3 * width + head * kSize;
  const float* const own_bias = bias + head * kSize;
  float* const out = context + start * width + head * kSize;
  ZeroRows<kSize, kTileThreads>(out, width, max(first, length), min(first + kTile, padded));
  if (first >= length) return;

  const int warp_first = threadIdx.x / kWarp * kWarpRows;
  const int g = threadIdx.x % kWarp / 4;
  const int t = threadIdx.x % 4;
  const bool has_queries = first + warp_first < length;
  BeginCopy<kSize, kTileThreads>(staged_keys, own + first * 3 * width, 3 * width, length - first);
  BeginCopy<kSize, kTileThreads>(staged_values, own + 2 * width, 3 * width, length);
  EndCopies();
  RoundTile<kSize, kTileThreads>(keys, staged_keys, own_bias, 1.f, length - first);
  BeginCopy<kSize, kTileThreads>(staged_keys, own + width, 3 * width, length);
  __syncthreads();
  unsigned queries[kSize / 16][4];
  LoadLeft<kSize>(queries, keys + warp_first * kStride);
  float sums[kSize / 8][4] = {};
  float most[2] = {kLowest, kLowest};
  float total[2] = {0.f, 0.f};
  for (int from = 0; from < length; from += kTile) {
    const int count = min(kTile, length - from);
    EndCopies();
    __syncthreads();
    RoundTile<kSize, kTileThreads>(keys, staged_keys, own_bias + width, 1.f, count);
    RoundTile<kSize, kTileThreads>(values, staged_values, own_bias + 2 * width, 1.f, count);
    __syncthreads();
    const int next = from + kTile;
    BeginCopy<kSize, kTileThreads>(staged_keys, own + width + next * 3 * width, 3 * width, length - next);
    BeginCopy<kSize, kTileThreads>(staged_values, own + 2 * width + next * 3 * width, 3 * width, length - next);
    if (!has_queries) continue;
    for (int slab = 0; slab < count; slab += kSlab) {
      float scores[kSlab / 8][4];
      TimesRows<kSize>(scores, queries, keys + slab * kStride);
#pragma unroll
      for (int n = 0; n < kSlab / 8; n++)
#pragma unroll
        for (int i = 0; i < 4; i++)
          scores[n][i] = slab + n * 8 + 2 * t + i % 2 < count ? scores[n][i] * kLog2E : kLowest;
#pragma unroll
      for (int half = 0; half < 2; half++) {
        float highest = most[half];
#pragma unroll
        for (int n = 0; n < kSlab / 8; n++) highest = fmaxf(highest, fmaxf(scores[n][2 * half], scores[n][2 * half + 1]));
        highest = QuadMax(highest);
        const float shrunk = Exp2(most[half] - highest);
        most[half] = highest;
        total[half] *= shrunk;
#pragma unroll
        for (int d = 0; d < kSize / 8; d++) {
          sums[d][2 * half] *= shrunk;
          sums[d][2 * half + 1] *= shrunk;
        }
#pragma unroll
        for (int n = 0; n < kSlab / 8; n++)
#pragma unroll
          for (int i = 2 * half; i < 2 * half + 2; i++) {
            scores[n][i] = Exp2(scores[n][i] - highest);
            total[half] += scores[n][i];
          }
      }
#pragma unroll
      for (int k = 0; k < kSlab / 16; k++) {
        unsigned shares[4];
        AsLeft(shares, scores[2 * k], scores[2 * k + 1]);
        AddTimes<kSize, kSize>(sums, shares, values + (slab + k * 16) * kStride);
      }
    }
  }
  if (!has_queries) return;
#pragma unroll
  for (int half = 0; half < 2; half++) {
    const int row = first + warp_first + g + 8 * half;
    const float whole = QuadSum(total[half]);
    if (row >= length) continue;
    const float share = 1.f / whole;
#pragma unroll
    for (int d = 0; d < kSize / 8; d++)
      WritePair(out + row * width + d * 8 + 2 * t, sums[d][2 * half] * share, sums[d][2 * half + 1] * share);
    if (t == 0) log_sums[head * rows + start + row] = most[half] + log2f(whole);
  }
}

// For each query the sum of dcontext * context over the head, 0 up to a whole tile. Returns the largest |dcontext| of the
// thread's; `sum` is that of all its products.
template <int kSize, int kThreads>
__device__ __forceinline__ float QueryDots(const float* incoming, const float* mixed, Index width, int length, int tiled,
                                           float* dots, double* sum) {
  constexpr int kPacks = kSize / 4;
  constexpr int kRowsAtOnce = kThreads / kPacks;
  // As many rows as a tile has, or fewer.
  constexpr int kUnrolled = kTile / kRowsAtOnce < 4 ? kTile / kRowsAtOnce : 4;
  const int column = threadIdx.x % kPacks * 4;
  float largest = 0.f;
  for (int first = threadIdx.x / kPacks; first < tiled; first += kUnrolled * kRowsAtOnce) {
    float dot[kUnrolled] = {};
#pragma unroll
    for (int i = 0; i < kUnrolled; i++) {
      const int row = first + i * kRowsAtOnce;
      if (row >= length) continue;
      const auto a = *reinterpret_cast<const Pack<4>*>(incoming + row * width + column);
      const auto b = *reinterpret_cast<const Pack<4>*>(mixed + row * width + column);
#pragma unroll
      for (int j = 0; j < 4; j++) {
        dot[i] += a.at[j] * b.at[j];
        largest = fmaxf(largest, fabsf(a.at[j]));
      }
    }
#pragma unroll
    for (int i = 0; i < kUnrolled; i++) {
      *sum += dot[i];
#pragma unroll
      for (int offset = kPacks / 2; offset > 0; offset /= 2) dot[i] += __shfl_xor_sync(kAllLanes, dot[i], offset);
      const int row = first + i * kRowsAtOnce;
      if (column == 0 && row < tiled) dots[row] = dot[i];
    }
  }
  return largest;
}

// The power of two that brings numbers up to `largest` to at most 1, so that those that matter are normal in float16.
__device__ __forceinline__ float ScaleOf(float largest) {
  const int exponent = (int)(__float_as_uint(largest) >> 23) - 126;
  const int clamped = max(-120, min(120, -exponent));
  return largest > 0.f ? __uint_as_float((unsigned)(clamped + 127) << 23) : 1.f;
}

// A block a head of a sample: of keys, 16 a warp, in the outer loop it sums the gradients of keys and values, those of queries it
// adds up in their place. Also that of the head mask [samples, heads], the sum of dcontext * context. kSingle: no sample has more
// than kTile tokens.
template <int kSize, int kKeyWarps, bool kSingle>
__device__ __forceinline__ void VarlenAttentionGrad(const float* dcontext, const float* context, const float* product,
                                                    const float* bias, const float* log_sums, Samples samples,
                                                    float* dproduct, float* mask, int heads, Index rows) {
  extern __shared__ __align__(16) Half shared[];
  constexpr int kThreads = kKeyWarps * kWarp;
  constexpr int kKeys = kKeyWarps * kWarpRows;
  constexpr int kStride = kRowStride<kSize>;
  // Of the gradients of kTile queries a warp makes 16 rows, and of their columns as many as leave none out.
  constexpr int kColumns = kSize * kTile / kKeys;
  Half* const keys = shared;
  Half* const values = keys + kKeys * kStride;
  Half* const queries = values + kKeys * kStride;
  Half* const gradients = queries + kTile * kStride;
  // Gradients of scores, [keys, queries].
  Half* const dscores = gradients + kTile * kStride;
  // Where nothing is copied ahead, in the place of what is written later.
  float* const staged_queries = reinterpret_cast<float*>(kSingle ? dscores : dscores + kKeys * kScoreStride);
  float* const staged_gradients = staged_queries + kTile * kSize;
  float* const logs = staged_gradients + kTile * kSize;
  __shared__ double sum_of[kKeyWarps];
  __shared__ float largest_of[kKeyWarps];
  const int head = blockIdx.x % heads;
  const int sample = blockIdx.x / heads;
  const int start = samples.starts[sample];
  const int padded = samples.starts[sample + 1] - start;
  const int length = samples.lengths[sample];
  const int tiled = (length + kTile - 1) / kTile * kTile;
  float* const dots = logs + tiled;
  const Index width = (Index)heads * kSize;
  const float* const own = product + start * 3 * width + head * kSize;
  const float* const own_bias = bias + head * kSize;
  const float* const incoming = dcontext + start * width + head * kSize;
  float* const out = dproduct + start * 3 * width + head * kSize;
  const auto begin_copies = [&](float* first, const float* from, float* second, const float* next, Index stride, int at) {
    BeginCopy<kSize, kThreads>(first, from + at * 3 * width, 3 * width, length - at);
    BeginCopy<kSize, kThreads>(second, next + at * stride, stride, length - at);
  };
  begin_copies(staged_queries, own + width, staged_gradients, own + 2 * width, 3 * width, 0);
  for (int part = 0; part < 3; part++) ZeroRows<kSize, kThreads>(out + part * width, 3 * width, length, padded);

  const int warp = threadIdx.x / kWarp;
  const int lane = threadIdx.x % kWarp;
  const int g = lane / 4;
  const int t = lane % 4;
  double sum = 0;
  float largest = QueryDots<kSize, kThreads>(incoming, context + start * width + head * kSize, width, length, tiled, dots, &sum);
  // Of what is no query no share is left.
  for (int row = threadIdx.x; row < tiled; row += kThreads)
    logs[row] = row < length ? log_sums[head * rows + start + row] : -kLowest;
  largest = WarpMax(largest);
  for (int offset = kWarp / 2; offset > 0; offset /= 2) sum += __shfl_xor_sync(kAllLanes, sum, offset);
  if (lane == 0) {
    sum_of[warp] = sum;
    largest_of[warp] = largest;
  }
  __syncthreads();
  for (float of_warp : largest_of) largest = fmaxf(largest, of_warp);
  const float scale = ScaleOf(largest);
  const float unscaled = 1.f / scale;
  if (threadIdx.x == 0) {
    sum = 0;
    for (double of_warp : sum_of) sum += of_warp;
    mask[blockIdx.x] = (float)sum;
  }

  const int warp_first = warp * kWarpRows;
  const int query_first = warp_first % kTile;
  const int column_first = warp_first / kTile * kColumns;
  for (int from = 0; from < length; from += kKeys) {
    const int key_count = min(kKeys, length - from);
    const bool has_keys = warp_first < key_count;
    const bool has_key[2] = {warp_first + g < key_count, warp_first + g + 8 < key_count};
    // What is staged first are keys and values.
#pragma unroll
    for (int part = 0; part < kKeys / kTile; part++) {
      if (part > 0) begin_copies(staged_queries, own + width, staged_gradients, own + 2 * width, 3 * width, from + part * kTile);
      EndCopies();
      const int count = key_count - part * kTile;
      RoundTile<kSize, kThreads>(keys + part * kTile * kStride, staged_queries, own_bias + width, 1.f, count);
      RoundTile<kSize, kThreads>(values + part * kTile * kStride, staged_gradients, own_bias + 2 * width, 1.f, count);
    }
    begin_copies(staged_queries, own, staged_gradients, incoming, width, 0);
    float dkeys[kSize / 8][4] = {};
    float dvalues[kSize / 8][4] = {};
    for (int at = 0; at < length; at += kTile) {
      const int query_count = min(kTile, length - at);
      EndCopies();
      RoundTile<kSize, kThreads>(queries, staged_queries, own_bias, 1.f, query_count);
      RoundTile<kSize, kThreads>(gradients, staged_gradients, nullptr, scale, query_count);
      __syncthreads();
      if (at + kTile < length)
        begin_copies(staged_queries, own, staged_gradients, incoming, width, at + kTile);
      else if (from + kKeys < length)
        begin_copies(staged_queries, own + width, staged_gradients, own + 2 * width, 3 * width, from + kKeys);
      if (has_keys) {
        for (int slab = 0; slab < query_count; slab += kSlab) {
          // [keys, queries]
          float shares[kSlab / 8][4];
          float dshares[kSlab / 8][4];
          unsigned left[kSize / 16][4];
          LoadLeft<kSize>(left, keys + warp_first * kStride);
          TimesRows<kSize>(shares, left, queries + slab * kStride);
          LoadLeft<kSize>(left, values + warp_first * kStride);
          TimesRows<kSize>(dshares, left, gradients + slab * kStride);
#pragma unroll
          for (int n = 0; n < kSlab / 8; n++) {
            const int query = at + slab + n * 8 + 2 * t;
            const float2 log = *reinterpret_cast<const float2*>(logs + query);
            const float2 dot = *reinterpret_cast<const float2*>(dots + query);
#pragma unroll
            for (int i = 0; i < 4; i++) {
              const float share = Exp2(shares[n][i] * kLog2E - (i % 2 == 0 ? log.x : log.y));
              // What is no key has a score of 0, beside which those of keys may be so low that its share is beyond float16.
              shares[n][i] = has_key[i / 2] ? share : 0.f;
              dshares[n][i] = shares[n][i] * (dshares[n][i] - (i % 2 == 0 ? dot.x : dot.y) * scale);
            }
          }
#pragma unroll
          for (int k = 0; k < kSlab / 16; k++) {
            unsigned pairs[4];
            AsLeft(pairs, shares[2 * k], shares[2 * k + 1]);
            AddTimes<kSize, kSize>(dvalues, pairs, gradients + (slab + k * 16) * kStride);
            AsLeft(pairs, dshares[2 * k], dshares[2 * k + 1]);
            AddTimes<kSize, kSize>(dkeys, pairs, queries + (slab + k * 16) * kStride);
            Half* const to = dscores + (warp_first + g) * kScoreStride + slab + k * 16 + 2 * t;
            *reinterpret_cast<unsigned*>(to) = pairs[0];
            *reinterpret_cast<unsigned*>(to + 8 * kScoreStride) = pairs[1];
            *reinterpret_cast<unsigned*>(to + 8) = pairs[2];
            *reinterpret_cast<unsigned*>(to + 8 * kScoreStride + 8) = pairs[3];
          }
        }
      }
      __syncthreads();
      if (query_first < query_count) {
        float dqueries[kColumns / 8][4] = {};
        for (int key = 0; key < key_count; key += 16) {
          unsigned left[4];
          LoadMatrices<true>(left, dscores + (key + lane % 8 + lane / 16 * 8) * kScoreStride + query_first + lane / 8 % 2 * 8);
          AddTimes<kSize, kColumns>(dqueries, left, keys + key * kStride + column_first);
        }
#pragma unroll
        for (int half = 0; half < 2; half++) {
          const int row = at + query_first + g + 8 * half;
          if (row >= length) continue;
          float* const to = out + row * 3 * width + column_first + 2 * t;
#pragma unroll
          for (int d = 0; d < kColumns / 8; d++) {
            // The same lane was here with the keys before.
            float2 before = make_float2(0.f, 0.f);
            if (from > 0) before = *reinterpret_cast<const float2*>(to + d * 8);
            WritePair(to + d * 8, before.x + dqueries[d][2 * half] * unscaled, before.y + dqueries[d][2 * half + 1] * unscaled);
          }
        }
      }
      __syncthreads();
    }
    if (!has_keys) continue;
#pragma unroll
    for (int half = 0; half < 2; half++) {
      const int row = from + warp_first + g + 8 * half;
      if (row >= length) continue;
      float* const to = out + width + row * 3 * width + 2 * t;
#pragma unroll
      for (int d = 0; d < kSize / 8; d++) {
        WritePair(to + d * 8, dkeys[d][2 * half] * unscaled, dkeys[d][2 * half + 1] * unscaled);
        WritePair(to + width + d * 8, dvalues[d][2 * half] * unscaled, dvalues[d][2 * half + 1] * unscaled);
      }
    }
  }
}

#define ESPALIER_VARLEN_ATTENTION_GRAD(name, kSize, kKeyWarps, kSingle, kBlocks)                                            \
  extern "C" __global__ void __launch_bounds__(kKeyWarps* kWarp, kBlocks)                                                   \
      name(const float* dcontext, const float* context, const float* product, const float* bias, const float* log_sums,     \
           const int* starts, const int* lengths, float* dproduct, float* mask, int heads, Index rows) {                    \
    VarlenAttentionGrad<kSize, kKeyWarps, kSingle>(dcontext, context, product, bias, log_sums, {starts, lengths}, dproduct, \
                                                   mask, heads, rows);                                                      \
  }
// Gradients of short samples, as many blocks at once as there is shared memory for, and of any.
#define ESPALIER_VARLEN_ATTENTION(kSize)                                                                                    \
  extern "C" __global__ void __launch_bounds__(kTileThreads, 4) varlen_attention_##kSize(                                   \
      const float* product, const float* bias, const int* starts, const int* lengths, float* context, float* log_sums,      \
      int heads, int tiles, Index rows) {                                                                                   \
    VarlenAttention<kSize>(product, bias, {starts, lengths}, context, log_sums, heads, tiles, rows);                        \
  }                                                                                                                         \
  ESPALIER_VARLEN_ATTENTION_GRAD(varlen_attention_grad_short_##kSize, kSize, 4, true, 3)                                    \
  ESPALIER_VARLEN_ATTENTION_GRAD(varlen_attention_grad_##kSize, kSize, 8, false, 1)
ESPALIER_VARLEN_ATTENTION(32)
ESPALIER_VARLEN_ATTENTION(64)
#undef ESPALIER_VARLEN_ATTENTION
#undef ESPALIER_VARLEN_ATTENTION_GRAD
#endif
