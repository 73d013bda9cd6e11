// Activations of an FFN with their bias. Weights carry the factors of ACTIVATION_SCALES: gelu is h + h erf(h), its tanh form
// h + h tanh(...).
#include "cpu/kernels.h"
#include "cpu/math.h"

namespace espalier::cpu {
namespace {

struct Value {
  float a;
  float slope;
};

struct Gelu {
  static ESPALIER_INLINE float Apply(float h) { return h + h * Erf(h); }
  static ESPALIER_INLINE Value WithSlope(float h) {
    const float e = Erf(h);
    return {h + h * e, 1.f + e + h * 1.128379167f * Exp(-(h * h))};
  }
};

struct GeluTanh {
  static constexpr float kInner = 0.7978845608f;  // sqrt(2 / pi)
  static constexpr float kCubic = 0.044715f;
  static ESPALIER_INLINE float Apply(float h) { return h + h * Tanh(kInner * (h + kCubic * h * h * h)); }
  static ESPALIER_INLINE Value WithSlope(float h) {
    const float t = Tanh(kInner * (h + kCubic * h * h * h));
    return {h + h * t, 1.f + t + h * (1.f - t * t) * kInner * (1.f + 3.f * kCubic * h * h)};
  }
};

struct Relu {
  static ESPALIER_INLINE float Apply(float h) { return h < 0.f ? 0.f : h; }
  // Written so that NaN stays NaN.
  static ESPALIER_INLINE Value WithSlope(float h) { return {Apply(h), h > 0.f ? 1.f : (h <= 0.f ? 0.f : h)}; }
};

template <class Kind>
ESPALIER_INLINE void AllRows(const float* __restrict h, const float* __restrict bias, float* __restrict a, Index first,
                           Index end, Index width) {
  for (Index row = first; row < end; row++) {
    const float* from = h + row * width;
    float* to = a + row * width;
    for (Index i = 0; i < width; i++) to[i] = Kind::Apply(from[i] + bias[i]);
  }
}

template <class Kind>
ESPALIER_INLINE void Blocks(const float* __restrict da, const float* __restrict h, const float* __restrict bias,
                            float* __restrict dh, float* __restrict mask, Index first, Index end,
                            const int32_t* starts, Index rows, Index width) {
  const Index blocks = (width + kColumnBlock - 1) / kColumnBlock;
  for (Index unit = first; unit < end; unit++) {
    const Index sample = unit / blocks;
    const Index column = unit % blocks * kColumnBlock;
    const Index columns = width - column < kColumnBlock ? width - column : kColumnBlock;
    float sums[kColumnBlock] = {};
    const Index first_row = starts == nullptr ? sample * rows : starts[sample];
    const Index end_row = starts == nullptr ? first_row + rows : starts[sample + 1];
    for (Index row = first_row; row < end_row; row++) {
      const Index at = row * width + column;
      for (Index i = 0; i < columns; i++) {
        const Value value = Kind::WithSlope(h[at + i] + bias[column + i]);
        sums[i] += da[at + i] * value.a;
        dh[at + i] = da[at + i] * value.slope;
      }
    }
    for (Index i = 0; i < columns; i++) mask[sample * width + column + i] = sums[i];
  }
}

#define ESPALIER_ACTIVATION(Kind)                                                                                       \
  ESPALIER_CLONES void Kind##Rows(const float* h, const float* bias, float* a, Index first, Index end, Index width) {    \
    AllRows<Kind>(h, bias, a, first, end, width);                                                                          \
  }                                                                                                                      \
  ESPALIER_CLONES void Kind##Blocks(const float* da, const float* h, const float* bias, float* dh, float* mask,          \
                                    Index first, Index end, const int32_t* starts, Index rows, Index width) {            \
    Blocks<Kind>(da, h, bias, dh, mask, first, end, starts, rows, width);                                                \
  }
ESPALIER_ACTIVATION(Gelu)
ESPALIER_ACTIVATION(GeluTanh)
ESPALIER_ACTIVATION(Relu)
#undef ESPALIER_ACTIVATION

}  // namespace

void BiasActivation(Activation kind, const float* h, const float* bias, float* a, Index first, Index end, Index width) {
  if (kind == Activation::kGelu) return GeluRows(h, bias, a, first, end, width);
  if (kind == Activation::kGeluTanh) return GeluTanhRows(h, bias, a, first, end, width);
  ReluRows(h, bias, a, first, end, width);
}

void ActivationGrad(Activation kind, const float* da, const float* h, const float* bias, float* dh, float* mask, Index first,
                    Index end, const int32_t* starts, Index rows, Index width) {
  if (kind == Activation::kGelu) return GeluBlocks(da, h, bias, dh, mask, first, end, starts, rows, width);
  if (kind == Activation::kGeluTanh) return GeluTanhBlocks(da, h, bias, dh, mask, first, end, starts, rows, width);
  ReluBlocks(da, h, bias, dh, mask, first, end, starts, rows, width);
}

}  // namespace espalier::cpu
