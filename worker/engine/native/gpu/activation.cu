// Activations of an FFN with their bias, in the scales of the weights, and their gradients (formulas: cpu/activation.cc).

struct Gelu {
  static __device__ __forceinline__ float Apply(float h) { return h + h * erff(h); }
  static __device__ __forceinline__ float Slope(float h, float* a) {
    const float e = erff(h);
    *a = h + h * e;
    return 1.f + e + h * 1.128379167f * expf(-(h * h));
  }
};

struct GeluTanh {
  static __device__ __forceinline__ float Inner(float h) { return tanhf(0.7978845608f * (h + 0.044715f * h * h * h)); }
  static __device__ __forceinline__ float Apply(float h) { return h + h * Inner(h); }
  static __device__ __forceinline__ float Slope(float h, float* a) {
    const float t = Inner(h);
    *a = h + h * t;
    return 1.f + t + h * (1.f - t * t) * 0.7978845608f * (1.f + 3.f * 0.044715f * h * h);
  }
};

// Written so that NaN stays NaN.
struct Relu {
  static __device__ __forceinline__ float Apply(float h) { return h < 0.f ? 0.f : h; }
  static __device__ __forceinline__ float Slope(float h, float* a) {
    *a = Apply(h);
    return h > 0.f ? 1.f : (h <= 0.f ? 0.f : h);
  }
};

// count and width in packs.
template <class Kind, int kLanes>
__device__ __forceinline__ void BiasActivation(const Pack<kLanes>* h, const Pack<kLanes>* bias, Pack<kLanes>* a, Count count,
                                               Count width) {
  for (Count i = blockIdx.x * kBlock + threadIdx.x; i < count; i += gridDim.x * kBlock) {
    const Pack<kLanes> value = h[i];
    const Pack<kLanes> added = bias[i % width];
    Pack<kLanes> result;
#pragma unroll
    for (int lane = 0; lane < kLanes; lane++) result.at[lane] = Kind::Apply(value.at[lane] + added.at[lane]);
    a[i] = result;
  }
}

constexpr int kColumnBlock = 32;
constexpr int kRowBlock = 8;

// A block has one sample (x) and kColumnBlock packs of its columns (y); its kRowBlock rows of threads share the sample's rows: as
// many each, or from starts[sample] to starts[sample + 1].
template <class Kind, int kLanes>
__device__ __forceinline__ void ActivationGrad(const Pack<kLanes>* da, const Pack<kLanes>* h, const Pack<kLanes>* bias,
                                               Pack<kLanes>* dh, Pack<kLanes>* mask, const int* starts, Index rows,
                                               Index width) {
  __shared__ Pack<kLanes> partial[kRowBlock][kColumnBlock];
  const Index sample = blockIdx.x;
  const Index first = starts == nullptr ? sample * rows : starts[sample];
  const Index end = starts == nullptr ? first + rows : starts[sample + 1];
  const Index column = blockIdx.y * (Index)kColumnBlock + threadIdx.x;
  Pack<kLanes> sum;
#pragma unroll
  for (int lane = 0; lane < kLanes; lane++) sum.at[lane] = 0.f;
  if (column < width) {
    const Pack<kLanes> added = bias[column];
    for (Index row = first + threadIdx.y; row < end; row += kRowBlock) {
      const Index at = row * width + column;
      const Pack<kLanes> value = h[at];
      const Pack<kLanes> incoming = da[at];
      Pack<kLanes> result;
#pragma unroll
      for (int lane = 0; lane < kLanes; lane++) {
        float a;
        const float slope = Kind::Slope(value.at[lane] + added.at[lane], &a);
        result.at[lane] = incoming.at[lane] * slope;
        sum.at[lane] += incoming.at[lane] * a;
      }
      dh[at] = result;
    }
  }
  partial[threadIdx.y][threadIdx.x] = sum;
  __syncthreads();
  if (threadIdx.y > 0 || column >= width) return;
  for (int other = 1; other < kRowBlock; other++)
#pragma unroll
    for (int lane = 0; lane < kLanes; lane++) sum.at[lane] += partial[other][threadIdx.x].at[lane];
  mask[sample * width + column] = sum;
}

#define ESPALIER_ACTIVATION(name, Kind, kLanes)                                                                            \
  extern "C" __global__ void __launch_bounds__(kBlock) bias_##name##_x##kLanes(                                            \
      const Pack<kLanes>* h, const Pack<kLanes>* bias, Pack<kLanes>* a, Count count, Count width) {                        \
    BiasActivation<Kind, kLanes>(h, bias, a, count, width);                                                                \
  }                                                                                                                        \
  extern "C" __global__ void __launch_bounds__(kColumnBlock * kRowBlock) name##_grad_x##kLanes(                            \
      const Pack<kLanes>* da, const Pack<kLanes>* h, const Pack<kLanes>* bias, Pack<kLanes>* dh, Pack<kLanes>* mask,       \
      const int* starts, Index rows, Index width) {                                                                        \
    ActivationGrad<Kind, kLanes>(da, h, bias, dh, mask, starts, rows, width);                                              \
  }
ESPALIER_ACTIVATION(gelu, Gelu, 1)
ESPALIER_ACTIVATION(gelu, Gelu, 4)
ESPALIER_ACTIVATION(gelu_tanh, GeluTanh, 1)
ESPALIER_ACTIVATION(gelu_tanh, GeluTanh, 4)
ESPALIER_ACTIVATION(relu, Relu, 1)
ESPALIER_ACTIVATION(relu, Relu, 4)
#undef ESPALIER_ACTIVATION
