// Float32 functions in plain arithmetic, so that the compiler makes vector code of the loops that call them. All of them give
// NaN for NaN.
#pragma once
#include <cstdint>

namespace espalier {

using Index = int64_t;

#define ESPALIER_INLINE inline __attribute__((always_inline))

// A function in three builds, of which the processor's best is taken when the library is loaded. The names ask for features:
// a build for a named processor would be left out on the machines of other makers.
#define ESPALIER_CLONES __attribute__((target_clones("arch=x86-64-v4", "arch=x86-64-v3", "default")))

// exp(x), 2 ulp; exactly 0 below the logarithm of the smallest normal number. Range reduction to [-ln2/2, ln2/2] and the
// polynomial of degree 5 of Cephes (S. Moshier, expf.c).
ESPALIER_INLINE float Exp(float x) {
  constexpr float kLow = -87.33654f;
  constexpr float kHigh = 88.37626f;
  float clamped = x < kLow ? kLow : x;
  clamped = clamped > kHigh ? kHigh : clamped;
  // Adding 1.5 * 2^23 rounds to an integer, which then stands in the low bits.
  const float shifted = clamped * 1.44269504f + 12582912.f;
  const float n = shifted - 12582912.f;
  float r = clamped - n * 0.693359375f;
  r = r + n * 2.12194440e-4f;
  float p = 1.9875691500e-4f;
  p = p * r + 1.3981999507e-3f;
  p = p * r + 8.3334519073e-3f;
  p = p * r + 4.1665795894e-2f;
  p = p * r + 1.6666665459e-1f;
  p = p * r + 5.0000001201e-1f;
  p = p * r * r + r + 1.f;
  const int32_t exponent = (__builtin_bit_cast(int32_t, shifted) - 0x4B400000 + 127) << 23;
  const float result = p * __builtin_bit_cast(float, exponent);
  return x < kLow ? 0.f : result;
}

// erf(x), 3 ulp: a rational function of odd degree 11 over even degree 10 on [-4, 4], beyond which the result is +-1 in
// float32. Coefficients as in Eigen's perf.
ESPALIER_INLINE float Erf(float x) {
  float z = x * x;
  z = z > 16.f ? 16.f : z;
  float p = 2.123732201653183437883853912353515625e-06f;
  p = p * z + 2.861979592125862836837768554687500000e-04f;
  p = p * z + 3.658048342913389205932617187500000000e-03f;
  p = p * z + 5.243302136659622192382812500000000000e-02f;
  p = p * z + 1.874160766601562500000000000000000000e-01f;
  p = p * z + 1.128379106521606445312500000000000000e+00f;
  float q = 3.89185734093189239501953125000e-05f;
  q = q * z + 1.14329601638019084930419921875e-03f;
  q = q * z + 1.47520881146192550659179687500e-02f;
  q = q * z + 1.12945675849914550781250000000e-01f;
  q = q * z + 4.99425798654556274414062500000e-01f;
  q = q * z + 1.f;
  float result = p * x / q;
  result = result > 1.f ? 1.f : result;
  return result < -1.f ? -1.f : result;
}

// tanh(x) = (1 - e) / (1 + e) with e = exp(-2|x|), and x - x^3/3 + 2x^5/15 near 0, where that difference would lose digits.
ESPALIER_INLINE float Tanh(float x) {
  const float size = x < 0.f ? -x : x;
  const float e = Exp(-2.f * size);
  const float far = (1.f - e) / (1.f + e);
  const float z = x * x;
  float p = 2.1869488536155203e-2f;
  p = p * -z + 5.3968253968253971e-2f;
  p = p * -z + 1.3333333333333333e-1f;
  p = p * -z + 3.3333333333333331e-1f;
  const float near = size - size * z * p;
  const float result = size < 0.35f ? near : far;
  return x < 0.f ? -result : result;
}

}  // namespace espalier
