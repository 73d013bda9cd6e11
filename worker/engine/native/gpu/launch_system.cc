#include "gpu/launch_system.h"

#include <algorithm>

#include "gpu/driver.h"

namespace espalier::gpu {
namespace {

// As in the .cu files.
constexpr unsigned kWarp = 32;
constexpr unsigned kBlock = 256;
constexpr unsigned kTileRows = 8;
// Enough blocks to fill any GPU; each then goes over several parts of the work.
constexpr Index kMostBlocks = 1 << 14;

Blocks Over(Index count) { return {std::min((count + kBlock - 1) / kBlock, kMostBlocks)}; }

}  // namespace

absl::Status Widen(Context* context, const cpu::WidenedPart* all, Index parts) {
  for (Index i = 0; i < parts; i++) {
    const auto& [product, factor, to, rows, columns, stride] = all[i];
    absl::Status status =
        Launch(context, "widen", {std::min(rows, kMostBlocks)}, {kBlock}, product, factor, to, rows, columns, stride);
    if (!status.ok()) return status;
  }
  return absl::OkStatus();
}

absl::Status AddParts(Context* context, const AddedPart* all, Index parts) {
  for (Index i = 0; i < parts; i++) {
    const auto& [a, b, to, count] = all[i];
    absl::Status status = Launch(context, "add_part", Over(count), {kBlock}, a, b, to, count);
    if (!status.ok()) return status;
  }
  return absl::OkStatus();
}

absl::Status Damp(Context* context, const double* matrix, double damping, double* to, Index size, Index damped) {
  return Launch(context, "damp", {std::min(size, kMostBlocks)}, {kBlock}, matrix, damping, to, size, damped);
}

absl::Status RidgeRight(Context* context, const double* right, const double* pulled, double damping, double* to, Index rows,
                        Index width) {
  return Launch(context, "ridge_right", {std::min(rows, kMostBlocks)}, {kBlock}, right, pulled, damping, to, rows, width);
}

absl::Status ErrorTerms(Context* context, const double* projection, const double* product, const double* right, double* to,
                        Index count) {
  return Launch(context, "error_terms", Over(count), {kBlock}, projection, product, right, to, count);
}

absl::Status WholeMatrix(Context* context, const cpu::Panels& panels, double* to) {
  const Index tiles = (panels.size + kWarp - 1) / kWarp;
  return Launch(context, "whole_matrix", {tiles, tiles}, {kWarp, kTileRows}, panels, to);
}

absl::Status Gather(Context* context, const Gathered& all, double* to) {
  return Launch(context, "gather_parts", Over(all.first[all.parts]), {kBlock}, all, to);
}

}  // namespace espalier::gpu
