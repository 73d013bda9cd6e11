// Attention of one head of one sample at a time, all in the cache: out of rows of products and into rows, so that heads are
// split and merged on the way.
#include <cstring>
#include <vector>

#include "cpu/kernels.h"
#include "cpu/math.h"
#include "cpu/small_product.h"
#include "cpu/softmax_row.h"

namespace espalier::cpu {
namespace {

// to [tokens, stride] = rows + bias, or its transpose [size, stride]; to is zero where nothing is written.
ESPALIER_INLINE void Gather(Rows rows, Index first, Index tokens, Index column, const float* bias, Index size, float* to,
                            Index stride, bool transposed) {
  for (Index token = 0; token < tokens; token++) {
    const float* from = rows.data + (first + token) * rows.stride + column;
    if (transposed)
      for (Index i = 0; i < size; i++) to[i * stride + token] = from[i] + bias[i];
    else
      for (Index i = 0; i < size; i++) to[token * stride + i] = from[i] + bias[i];
  }
}

ESPALIER_INLINE void Scatter(const float* from, Index stride, MutableRows rows, Index first, Index tokens, Index column,
                             Index size) {
  for (Index token = 0; token < tokens; token++)
    for (Index i = 0; i < size; i++) rows.data[(first + token) * rows.stride + column + i] = from[token * stride + i];
}

template <int kRows, int kVectors>
ESPALIER_INLINE void Forward(const HeadShape& s, const AttentionInputs& in, float* context, float* p, Index first, Index end) {
  constexpr Index kTile = kVectors * kLanes;
  const Index width = s.heads * s.size;
  const Index tokens = Padded(s.tokens, kTile);
  const Index size = Padded(s.size, kTile);
  std::vector<float> memory(s.queries * s.size + s.size * tokens + s.tokens * size + s.queries * (tokens + size));
  float* query = memory.data();                // [queries, size]
  float* key = query + s.queries * s.size;     // [size, tokens padded]
  float* value = key + s.size * tokens;        // [tokens, size padded]
  float* scores = value + s.tokens * size;     // [queries, tokens padded]
  float* mixed = scores + s.queries * tokens;  // [queries, size padded]
  for (Index unit = first; unit < end; unit++) {
    const Index sample = unit / s.heads;
    const Index column = unit % s.heads * s.size;
    Gather(in.query, sample * s.queries, s.queries, column, in.bias + column, s.size, query, s.size, false);
    Gather(in.key, sample * s.tokens, s.tokens, column, in.bias + width + column, s.size, key, tokens, true);
    Gather(in.value, sample * s.tokens, s.tokens, column, in.bias + 2 * width + column, s.size, value, size, false);
    Product<kRows, kVectors>(s.queries, tokens, s.size, {query, s.size, 1}, key, tokens, scores, tokens);
    for (Index row = 0; row < s.queries; row++) {
      SoftmaxRow(scores + row * tokens, in.mask == nullptr ? nullptr : in.mask + sample * s.tokens, s.tokens);
      std::memcpy(p + (unit * s.queries + row) * s.tokens, scores + row * tokens, s.tokens * sizeof(float));
    }
    Product<kRows, kVectors>(s.queries, size, s.tokens, {scores, tokens, 1}, value, size, mixed, size);
    Scatter(mixed, size, {context, width}, sample * s.queries, s.queries, column, s.size);
  }
}

template <int kRows, int kVectors>
ESPALIER_INLINE void Backward(const HeadShape& s, const float* dcontext, const AttentionInputs& in, const float* p,
                              const AttentionGradients& out, Index first, Index end) {
  constexpr Index kTile = kVectors * kLanes;
  const Index width = s.heads * s.size;
  const Index tokens = Padded(s.tokens, kTile);
  const Index size = Padded(s.size, kTile);
  const Index longest = s.queries > s.tokens ? s.queries : s.tokens;
  const bool wants_input = out.query.data != nullptr;
  std::vector<float> memory(2 * s.queries * size + s.tokens * size + s.size * tokens + s.queries * tokens + longest * size);
  float* query = memory.data();               // [queries, size padded]
  float* incoming = query + s.queries * size;  // [queries, size padded]
  float* key = incoming + s.queries * size;    // [tokens, size padded]
  float* value = key + s.tokens * size;        // [size, tokens padded]
  float* scores = value + s.size * tokens;     // [queries, tokens padded]
  float* result = scores + s.queries * tokens; // [queries or tokens, size padded]
  const std::vector<float> none(s.size);
  for (Index unit = first; unit < end; unit++) {
    const Index sample = unit / s.heads;
    const Index column = unit % s.heads * s.size;
    const float* shares = p + unit * s.queries * s.tokens;
    Gather({dcontext, width}, sample * s.queries, s.queries, column, none.data(), s.size, incoming, size, false);
    Gather(in.value, sample * s.tokens, s.tokens, column, in.bias + 2 * width + column, s.size, value, tokens, true);
    Product<kRows, kVectors>(s.queries, tokens, s.size, {incoming, size, 1}, value, tokens, scores, tokens);
    // The mask multiplies the context c = p v, so that its gradient dc.c is the sum of p * dp that the softmax needs, too.
    double mask = 0;
    for (Index row = 0; row < s.queries; row++)
      mask += SoftmaxGradRow(shares + row * s.tokens, scores + row * tokens, s.tokens);
    out.mask[unit] = static_cast<float>(mask);
    if (!wants_input) continue;
    Gather(in.query, sample * s.queries, s.queries, column, in.bias + column, s.size, query, size, false);
    Gather(in.key, sample * s.tokens, s.tokens, column, in.bias + width + column, s.size, key, size, false);
    Product<kRows, kVectors>(s.queries, size, s.tokens, {scores, tokens, 1}, key, size, result, size);
    Scatter(result, size, out.query, sample * s.queries, s.queries, column, s.size);
    Product<kRows, kVectors>(s.tokens, size, s.queries, {scores, 1, tokens}, query, size, result, size);
    Scatter(result, size, out.key, sample * s.tokens, s.tokens, column, s.size);
    Product<kRows, kVectors>(s.tokens, size, s.queries, {shares, 1, s.tokens}, incoming, size, result, size);
    Scatter(result, size, out.value, sample * s.tokens, s.tokens, column, s.size);
  }
}

// Tiles that fill the registers of an instruction set: 32 of 512 bits, 16 of 256, 16 of 128.
#define ESPALIER_BUILD(Suffix, kRows, kVectors, ...)                                                                       \
  __VA_ARGS__ void Forward##Suffix(const HeadShape& shape, const AttentionInputs& in, float* context, float* p,            \
                                   Index first, Index end) {                                                               \
    Forward<kRows, kVectors>(shape, in, context, p, first, end);                                                           \
  }                                                                                                                        \
  __VA_ARGS__ void Backward##Suffix(const HeadShape& shape, const float* dcontext, const AttentionInputs& in,              \
                                    const float* p, const AttentionGradients& out, Index first, Index end) {               \
    Backward<kRows, kVectors>(shape, dcontext, in, p, out, first, end);                                                    \
  }
ESPALIER_BUILD(V4, 8, 2, __attribute__((target("arch=x86-64-v4"))))
ESPALIER_BUILD(V3, 6, 1, __attribute__((target("arch=x86-64-v3"))))
ESPALIER_BUILD(Base, 2, 1)
#undef ESPALIER_BUILD

enum class Level { kBase, kV3, kV4 };

Level BestLevel() {
  static const Level level = __builtin_cpu_supports("x86-64-v4")   ? Level::kV4
                             : __builtin_cpu_supports("x86-64-v3") ? Level::kV3
                                                                   : Level::kBase;
  return level;
}

}  // namespace

void Attention(const HeadShape& shape, const AttentionInputs& in, float* context, float* p, Index first, Index end) {
  switch (BestLevel()) {
    case Level::kV4: return ForwardV4(shape, in, context, p, first, end);
    case Level::kV3: return ForwardV3(shape, in, context, p, first, end);
    case Level::kBase: return ForwardBase(shape, in, context, p, first, end);
  }
}

void AttentionGrad(const HeadShape& shape, const float* dcontext, const AttentionInputs& in, const float* p,
                   AttentionGradients out, Index first, Index end) {
  switch (BestLevel()) {
    case Level::kV4: return BackwardV4(shape, dcontext, in, p, out, first, end);
    case Level::kV3: return BackwardV3(shape, dcontext, in, p, out, first, end);
    case Level::kBase: return BackwardBase(shape, dcontext, in, p, out, first, end);
  }
}

}  // namespace espalier::cpu
