// What linear systems of sums are made of, damped and judged: each in place of several operations of TensorFlow with the same bits.
// A number that the host knows comes as the two halves of its bits, int32, which stay in the host's memory: nothing waits for it.
#pragma once
#include <cstring>

#include "cpu/system.h"
#include "gpu/launch_system.h"
#include "ops/op.h"

namespace espalier {

inline const double* Data64(OpKernelContext* context, int input) { return context->input(input).flat<double>().data(); }

inline double HostNumber(OpKernelContext* context, int input) {
  double value;
  std::memcpy(&value, context->input(input).flat<int32_t>().data(), sizeof value);
  return value;
}

inline bool IsMatrix(const Tensor& tensor) { return tensor.dims() == 2 && tensor.NumElements() > 0; }

#define ESPALIER_OUTPUT64(pointer, number, ...)                                                   \
  double* pointer = nullptr;                                                                      \
  {                                                                                               \
    Tensor* tensor = nullptr;                                                                     \
    OP_REQUIRES_OK(context, context->allocate_output(number, TensorShape(__VA_ARGS__), &tensor)); \
    pointer = tensor->flat<double>().data();                                                      \
  }

// Products float32 and what is left of each: `sizes` [parts, 2], rows and columns, in the host's memory. With as many factors, of
// those sizes, times them.
template <bool kGpu>
class WidenOp : public OpKernel {
 public:
  explicit WidenOp(OpKernelConstruction* context)
      : OpKernel(context), parts_(Attribute(context, "parts")), factors_(Attribute(context, "factors")) {
    ESPALIER_EXPECT(parts_ > 0 && parts_ <= cpu::kMostParts && (factors_ == 0 || factors_ == parts_));
  }

  void Compute(OpKernelContext* context) override {
    ESPALIER_EXPECT(context->input(parts_ + factors_).NumElements() == 2 * parts_);
    const int32_t* sizes = context->input(parts_ + factors_).flat<int32_t>().data();
    cpu::WidenedPart all[cpu::kMostParts];
    for (Index i = 0; i < parts_; i++) {
      const Tensor& product = context->input(i);
      const Index rows = sizes[2 * i];
      const Index columns = sizes[2 * i + 1];
      ESPALIER_EXPECT(product.dims() == 2 && rows > 0 && columns > 0);
      ESPALIER_EXPECT(rows <= product.dim_size(0) && columns <= product.dim_size(1));
      ESPALIER_EXPECT(factors_ == 0 || context->input(parts_ + i).NumElements() == rows * columns);
      ESPALIER_OUTPUT64(to, i, {rows, columns});
      const double* factor = factors_ == 0 ? nullptr : Data64(context, parts_ + i);
      all[i] = {Data(context, i), factor, to, rows, columns, product.dim_size(1)};
    }
    if constexpr (kGpu) {
      OP_REQUIRES_OK(context, gpu::Widen(context, all, parts_));
    } else {
      for (Index i = 0; i < parts_; i++) {
        const cpu::WidenedPart part = all[i];
        OverUnits(context, part.rows, part.columns * 2, [=](Index first, Index end) { cpu::Widen(part, first, end); });
      }
    }
  }

 private:
  const Index parts_, factors_;
};

// Sums of as many pairs, each of one shape.
template <bool kGpu>
class AddPartsOp : public OpKernel {
 public:
  explicit AddPartsOp(OpKernelConstruction* context) : OpKernel(context), parts_(Attribute(context, "parts")) {
    ESPALIER_EXPECT(parts_ > 0 && parts_ <= cpu::kMostParts);
  }

  void Compute(OpKernelContext* context) override {
    gpu::AddedPart all[cpu::kMostParts];
    for (Index i = 0; i < parts_; i++) {
      const Tensor& a = context->input(i);
      ESPALIER_EXPECT(a.shape() == context->input(parts_ + i).shape());
      ESPALIER_OUTPUT64(to, i, a.shape());
      all[i] = {Data64(context, i), Data64(context, parts_ + i), to, a.NumElements()};
    }
    if constexpr (kGpu) {
      OP_REQUIRES_OK(context, gpu::AddParts(context, all, parts_));
    } else {
      for (Index i = 0; i < parts_; i++) {
        const gpu::AddedPart part = all[i];
        OverUnits(context, part.count, 2,
                  [=](Index first, Index end) { cpu::AddPart(part.a, part.b, part.to, first, end); });
      }
    }
  }

 private:
  const Index parts_;
};

// matrix [n, n] with a number added to its diagonal, but for the last `undamped` of it.
template <bool kGpu>
class DampOp : public OpKernel {
 public:
  explicit DampOp(OpKernelConstruction* context) : OpKernel(context), undamped_(Attribute(context, "undamped")) {
    ESPALIER_EXPECT(undamped_ == 0 || undamped_ == 1);
  }

  void Compute(OpKernelContext* context) override {
    const Tensor& matrix = context->input(0);
    ESPALIER_EXPECT(IsMatrix(matrix) && matrix.dim_size(0) == matrix.dim_size(1));
    ESPALIER_EXPECT(context->input(1).NumElements() == 2);
    const Index size = matrix.dim_size(0);
    const Index damped = size - undamped_;
    const double damping = HostNumber(context, 1);
    const double* from = Data64(context, 0);
    ESPALIER_OUTPUT64(to, 0, matrix.shape());
    if constexpr (kGpu) {
      OP_REQUIRES_OK(context, gpu::Damp(context, from, damping, to, size, damped));
    } else {
      OverUnits(context, size, size,
                [=](Index first, Index end) { cpu::Damp(from, damping, to, first, end, size, damped); });
    }
  }

 private:
  const Index undamped_;
};

// The right side of a ridge that pulls all rows but the last towards those of `pulled`.
template <bool kGpu>
class RidgeRightOp : public OpKernel {
 public:
  using OpKernel::OpKernel;

  void Compute(OpKernelContext* context) override {
    const Tensor& right = context->input(0);
    ESPALIER_EXPECT(IsMatrix(right) && context->input(1).shape() == right.shape());
    ESPALIER_EXPECT(context->input(2).NumElements() == 2);
    const Index rows = right.dim_size(0);
    const Index width = right.dim_size(1);
    const double damping = HostNumber(context, 2);
    const double* from = Data64(context, 0);
    const double* pulled = Data64(context, 1);
    ESPALIER_OUTPUT64(to, 0, right.shape());
    if constexpr (kGpu) {
      OP_REQUIRES_OK(context, gpu::RidgeRight(context, from, pulled, damping, to, rows, width));
    } else {
      OverUnits(context, rows, width * 2,
                [=](Index first, Index end) { cpu::RidgeRight(from, pulled, damping, to, first, end, rows, width); });
    }
  }
};

template <bool kGpu>
class ErrorTermsOp : public OpKernel {
 public:
  using OpKernel::OpKernel;

  void Compute(OpKernelContext* context) override {
    const Tensor& projection = context->input(0);
    for (int i = 1; i < 3; i++) ESPALIER_EXPECT(context->input(i).shape() == projection.shape());
    const Index count = projection.NumElements();
    const double* own = Data64(context, 0);
    const double* product = Data64(context, 1);
    const double* right = Data64(context, 2);
    ESPALIER_OUTPUT64(to, 0, projection.shape());
    if constexpr (kGpu) {
      OP_REQUIRES_OK(context, gpu::ErrorTerms(context, own, product, right, to, count));
    } else {
      OverUnits(context, count, 3,
                [=](Index first, Index end) { cpu::ErrorTerms(own, product, right, to, first, end); });
    }
  }
};

// A symmetric matrix from its panels of rows from the diagonal on.
template <bool kGpu>
class WholeMatrixOp : public OpKernel {
 public:
  explicit WholeMatrixOp(OpKernelConstruction* context) : OpKernel(context), parts_(Attribute(context, "parts")) {
    ESPALIER_EXPECT(parts_ > 0 && parts_ <= cpu::kMostParts);
  }

  void Compute(OpKernelContext* context) override {
    cpu::Panels panels = {};
    panels.count = parts_;
    panels.size = context->input(0).dims() == 2 ? context->input(0).dim_size(1) : 0;
    Index next = 0;
    for (Index i = 0; i < parts_; i++) {
      const Tensor& panel = context->input(i);
      ESPALIER_EXPECT(IsMatrix(panel) && panel.dim_size(1) == panels.size - next);
      panels.data[i] = Data64(context, i);
      panels.first[i] = next;
      next += panel.dim_size(0);
    }
    ESPALIER_EXPECT(next == panels.size);
    ESPALIER_OUTPUT64(to, 0, {panels.size, panels.size});
    if constexpr (kGpu) {
      OP_REQUIRES_OK(context, gpu::WholeMatrix(context, panels, to));
    } else {
      OverUnits(context, panels.size, panels.size * 2,
                [=](Index first, Index end) { cpu::WholeMatrix(panels, to, first, end); });
    }
  }

 private:
  const Index parts_;
};

// Diagonals of matrices, then all numbers of the others, one after the other: the bits of float64 numbers as twice as many float32.
template <bool kGpu>
class GatheredOp : public OpKernel {
 public:
  explicit GatheredOp(OpKernelConstruction* context)
      : OpKernel(context), diagonals_(Attribute(context, "diagonals")), others_(Attribute(context, "others")) {
    ESPALIER_EXPECT(diagonals_ >= 0 && others_ >= 0 && diagonals_ + others_ > 0 && diagonals_ + others_ <= cpu::kMostParts);
  }

  void Compute(OpKernelContext* context) override {
    gpu::Gathered all = {};
    all.parts = diagonals_ + others_;
    Index total = 0;
    for (Index i = 0; i < all.parts; i++) {
      const Tensor& part = context->input(i);
      const bool is_diagonal = i < diagonals_;
      ESPALIER_EXPECT(!is_diagonal || (IsMatrix(part) && part.dim_size(0) == part.dim_size(1)));
      const Index count = is_diagonal ? part.dim_size(0) : part.NumElements();
      all.data[i] = Data64(context, i);
      all.stride[i] = is_diagonal ? count + 1 : 1;
      all.first[i] = total;
      total += count;
    }
    all.first[all.parts] = total;
    ESPALIER_OUTPUT(bits, 0, {2 * total});
    double* to = reinterpret_cast<double*>(bits);
    if constexpr (kGpu) {
      OP_REQUIRES_OK(context, gpu::Gather(context, all, to));
    } else {
      for (Index p = 0; p < all.parts; p++)
        for (Index i = all.first[p]; i < all.first[p + 1]; i++) to[i] = all.data[p][(i - all.first[p]) * all.stride[p]];
    }
  }

 private:
  const Index diagonals_, others_;
};

#define ESPALIER_KERNEL_WITH_HOST(name, Class, input)                                                       \
  REGISTER_KERNEL_BUILDER(Name(name).Device(tensorflow::DEVICE_CPU), Class<false>);                         \
  REGISTER_KERNEL_BUILDER(Name(name).Device(tensorflow::DEVICE_GPU).HostMemory(input), Class<true>)

inline void RegisterSystemOps() {
  ESPALIER_OP("EspalierWiden")
      .Input("products: parts * float")
      .Input("by: factors * double")
      .Input("sizes: int32")
      .Attr("parts: int >= 1")
      .Attr("factors: int >= 0")
      .Output("wide: parts * double");
  ESPALIER_KERNEL_WITH_HOST("EspalierWiden", WidenOp, "sizes");
  ESPALIER_OP("EspalierAddParts")
      .Input("a: parts * double")
      .Input("b: parts * double")
      .Attr("parts: int >= 1")
      .Output("sums: parts * double");
  ESPALIER_KERNEL("EspalierAddParts", AddPartsOp);
  ESPALIER_OP("EspalierDamp")
      .Input("matrix: double")
      .Input("damping: int32")
      .Attr("undamped: int")
      .Output("damped: double");
  ESPALIER_KERNEL_WITH_HOST("EspalierDamp", DampOp, "damping");
  ESPALIER_OP("EspalierRidgeRight")
      .Input("right: double")
      .Input("pulled: double")
      .Input("damping: int32")
      .Output("sum: double");
  ESPALIER_KERNEL_WITH_HOST("EspalierRidgeRight", RidgeRightOp, "damping");
  ESPALIER_OP("EspalierErrorTerms")
      .Input("projection: double")
      .Input("product: double")
      .Input("right: double")
      .Output("terms: double");
  ESPALIER_KERNEL("EspalierErrorTerms", ErrorTermsOp);
  ESPALIER_OP("EspalierWholeMatrix").Input("panels: parts * double").Attr("parts: int >= 1").Output("whole: double");
  ESPALIER_KERNEL("EspalierWholeMatrix", WholeMatrixOp);
  ESPALIER_OP("EspalierGathered")
      .Input("matrices: diagonals * double")
      .Input("whole: others * double")
      .Attr("diagonals: int >= 0")
      .Attr("others: int >= 0")
      .Output("bits: float");
  ESPALIER_KERNEL("EspalierGathered", GatheredOp);
}

}  // namespace espalier
