// The GPU's side of the operations that linear systems are made of (gpu/system.cu). Shapes as in cpu/system.h.
#pragma once
#include "absl/status/status.h"
#include "cpu/system.h"

namespace tensorflow {
class OpKernelContext;
}

namespace espalier::gpu {

using Context = tensorflow::OpKernelContext;
using cpu::Index;

absl::Status Widen(Context* context, const cpu::WidenedPart* all, Index parts);

struct AddedPart {
  const double* a;
  const double* b;
  double* to;
  Index count;
};

absl::Status AddParts(Context* context, const AddedPart* all, Index parts);

absl::Status Damp(Context* context, const double* matrix, double damping, double* to, Index size, Index damped);

absl::Status RidgeRight(Context* context, const double* right, const double* pulled, double damping, double* to, Index rows,
                        Index width);

absl::Status ErrorTerms(Context* context, const double* projection, const double* product, const double* right, double* to,
                        Index count);

absl::Status WholeMatrix(Context* context, const cpu::Panels& panels, double* to);

// Numbers of several arrays, so many apart each, one array after the other: part p begins at first[p] of the result.
struct Gathered {
  const double* data[cpu::kMostParts];
  Index stride[cpu::kMostParts];
  Index first[cpu::kMostParts + 1];
  Index parts;
};

absl::Status Gather(Context* context, const Gathered& all, double* to);

}  // namespace espalier::gpu
