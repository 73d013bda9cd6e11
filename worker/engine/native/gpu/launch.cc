#include "gpu/launch.h"

#include <algorithm>
#include <string>

#include "gpu/driver.h"

namespace espalier::gpu {
namespace {

// As in the .cu files.
constexpr unsigned kWarp = 32;
constexpr unsigned kBlock = 256;
constexpr unsigned kColumnBlock = 32;
constexpr unsigned kRowBlock = 8;
constexpr unsigned kWarps = 4;
constexpr Index kMostWarpNormWidth = 1024;
// Of varlen_attention.cu: rows of a tile, what rows of halves are longer by, and keys of a block that has more than a tile.
constexpr Index kTile = 64;
constexpr Index kHalfPadding = 8;
constexpr Index kManyKeys = 128;
constexpr unsigned kTileThreads = 128;
constexpr Index kHalfBytes = 2;
constexpr Index kFloatBytes = 4;
// Enough blocks to fill any GPU; each then goes over several parts of the work.
constexpr Index kMostBlocks = 1 << 14;
// As many blocks as a large GPU runs at once; each makes one sum.
constexpr Index kMostSquareSums = 1024;

Index Parts(Index count, Index size) { return (count + size - 1) / size; }

// As the kernels count what they divide by.
using Count = unsigned;

absl::Status CheckCount(Index count) {
  if (count < (Index{1} << 31)) return absl::OkStatus();
  return absl::InvalidArgumentError("got " + std::to_string(count) + " elements, expected fewer than 2^31");
}

// Launches over `count` elements with arguments that are counts in 32 bits.
template <class... Arguments>
absl::Status LaunchCounted(Context* context, const std::string& name, Index count, Blocks blocks, Threads threads,
                           Arguments... arguments) {
  absl::Status fits = CheckCount(count);
  return fits.ok() ? Launch(context, name, blocks, threads, arguments...) : fits;
}

Count Narrow(Index count) { return static_cast<Count>(count); }

// Four numbers at once where rows allow it.
Index Lanes(Index width) { return width % 4 == 0 ? 4 : 1; }

std::string ByLanes(const char* name, Index lanes) { return std::string(name) + (lanes == 4 ? "_x4" : "_x1"); }

const char* ActivationName(Index kind) { return kind == 0 ? "gelu" : kind == 1 ? "gelu_tanh" : "relu"; }

struct SoftmaxForm {
  const char* suffix;
  Index most_width;
  Index rows_per_warp;
};
constexpr SoftmaxForm kSoftmaxForms[] = {{"_32", 32, 8}, {"_64", 64, 4}, {"_128", 128, 4}, {"_256", 256, 2}, {"_512", 512, 1}};

// The kernel for rows of this width and its blocks: a warp for each row that fits its registers, else a block.
struct SoftmaxLaunch {
  std::string name;
  Blocks blocks;
  Threads threads;
};

SoftmaxLaunch ForRows(const char* name, Index rows, Index width) {
  for (const SoftmaxForm& form : kSoftmaxForms)
    if (width <= form.most_width)
      return {std::string(name) + form.suffix, {Parts(rows, kWarps * form.rows_per_warp)}, {kWarp, kWarps}};
  return {std::string(name) + "_any", {rows}, {kBlock}};
}

}  // namespace

absl::Status BiasActivation(Context* context, Index kind, const float* h, const float* bias, float* a, Index rows,
                            Index width) {
  const Index lanes = Lanes(width);
  const Index count = rows * width / lanes;
  const std::string name = ByLanes((std::string("bias_") + ActivationName(kind)).c_str(), lanes);
  return LaunchCounted(context, name, count, {std::min(Parts(count, kBlock), kMostBlocks)}, {kBlock}, h, bias, a,
                       Narrow(count), Narrow(width / lanes));
}

absl::Status ActivationGrad(Context* context, Index kind, const float* da, const float* h, const float* bias, float* dh,
                            float* mask, Index samples, const int32_t* starts, Index rows, Index width) {
  const Index lanes = Lanes(width);
  const std::string name = ByLanes((std::string(ActivationName(kind)) + "_grad").c_str(), lanes);
  return Launch(context, name, {samples, Parts(width / lanes, kColumnBlock)}, {kColumnBlock, kRowBlock}, da, h, bias, dh,
                mask, starts, rows, width / lanes);
}

absl::Status Norm(Context* context, const float* x, const float* bias, const float* residual, const float* gamma,
                  const float* beta, float epsilon, cpu::NormOutputs out, Index rows, Index width) {
  const bool by_warp = width % 4 == 0 && width <= kMostWarpNormWidth;
  return Launch(context, by_warp ? "norm_warp" : "norm_any", {by_warp ? Parts(rows, kWarps) : rows},
                by_warp ? Threads{kWarp, kWarps} : Threads{kBlock}, x, bias, residual, gamma, beta, epsilon, out.y,
                out.normalized, out.inverse_deviation, rows, width);
}

absl::Status NormGrad(Context* context, const float* dy, const float* dy2, const float* normalized,
                      const float* inverse_deviation, const float* gamma, float* dx, Index rows, Index width) {
  const bool by_warp = width % 4 == 0 && width <= kMostWarpNormWidth;
  return Launch(context, by_warp ? "norm_grad_warp" : "norm_grad_any", {by_warp ? Parts(rows, kWarps) : rows},
                by_warp ? Threads{kWarp, kWarps} : Threads{kBlock}, dy, dy2, normalized, inverse_deviation, gamma, dx, rows,
                width);
}

absl::Status Softmax(Context* context, const float* x, const float* mask, float* p, Index rows, Index width,
                     Index rows_per_mask) {
  const SoftmaxLaunch launch = ForRows("softmax", rows, width);
  return LaunchCounted(context, launch.name, rows * width, launch.blocks, launch.threads, x, mask, p, Narrow(rows),
                       Narrow(width), Narrow(rows_per_mask));
}

absl::Status SoftmaxGrad(Context* context, const float* p, const float* dp, float* dx, Index rows, Index width) {
  const SoftmaxLaunch launch = ForRows("softmax_grad", rows, width);
  return LaunchCounted(context, launch.name, rows * width, launch.blocks, launch.threads, p, dp, dx, Narrow(rows),
                       Narrow(width));
}

absl::Status SplitHeads(Context* context, const float* x, const float* bias, float* const* out, Index parts, Index samples,
                        Index tokens, Index heads, Index size) {
  const Index lanes = Lanes(size);
  const Index count = samples * tokens * parts * heads * size / lanes;
  return LaunchCounted(context, ByLanes("split_heads", lanes), count, {std::min(Parts(count, kBlock), kMostBlocks)}, {kBlock}, x,
                       bias, out[0], out[1], out[2], Narrow(count), Narrow(parts), Narrow(tokens), Narrow(heads),
                       Narrow(size / lanes));
}

absl::Status MergeHeads(Context* context, const float* const* in, float* y, Index parts, Index samples, Index tokens,
                        Index heads, Index size) {
  const Index lanes = Lanes(size);
  const Index count = samples * tokens * parts * heads * size / lanes;
  return LaunchCounted(context, ByLanes("merge_heads", lanes), count, {std::min(Parts(count, kBlock), kMostBlocks)}, {kBlock},
                       in[0], in[1], in[2], y, Narrow(count), Narrow(parts), Narrow(tokens), Narrow(heads),
                       Narrow(size / lanes));
}

absl::Status SplitDot(Context* context, const float* dcontext, const float* mixed, float* dc, float* mask, Index samples,
                      Index tokens, Index heads, Index size) {
  const Index lanes = Lanes(size);
  return LaunchCounted(context, ByLanes("split_dot", lanes), samples * tokens * heads * size, {samples, heads}, {kBlock}, dcontext,
                       mixed, dc, mask, Narrow(tokens), Narrow(heads), Narrow(size / lanes));
}

bool HasVarlenAttention(Index size) { return size == 32 || size == 64; }

absl::Status VarlenAttention(Context* context, const cpu::VarlenShape& shape, const float* product, const float* bias,
                             float* mixed, float* log_sums) {
  const Index tiles = Parts(shape.longest, kTile);
  const Index shared = 2 * kTile * (shape.size + kHalfPadding) * kHalfBytes + 2 * kTile * shape.size * kFloatBytes;
  return LaunchShared(context, "varlen_attention_" + std::to_string(shape.size), {shape.samples * shape.heads * tiles}, {kTileThreads},
                      static_cast<unsigned>(shared), product, bias, shape.starts, shape.lengths, mixed, log_sums,
                      static_cast<int>(shape.heads), static_cast<int>(tiles), static_cast<long long>(shape.rows));
}

absl::Status VarlenAttentionGrad(Context* context, const cpu::VarlenShape& shape, const float* dcontext, const float* mixed,
                                 const float* product, const float* bias, const float* log_sums, float* dproduct, float* mask) {
  const bool is_short = shape.longest <= kTile;
  const Index keys = is_short ? kTile : kManyKeys;
  const Index tiles = (2 * keys + 2 * kTile) * (shape.size + kHalfPadding) * kHalfBytes;
  const Index scores = keys * (kTile + kHalfPadding) * kHalfBytes;
  const Index staged = 2 * kTile * shape.size * kFloatBytes;
  const Index by_query = 2 * Parts(shape.longest, kTile) * kTile * kFloatBytes;
  const Index shared = tiles + (is_short ? std::max(scores, staged) : scores + staged) + by_query;
  const std::string name = std::string("varlen_attention_grad_") + (is_short ? "short_" : "") + std::to_string(shape.size);
  // A warp for 16 keys.
  return LaunchShared(context, name, {shape.samples * shape.heads}, {static_cast<unsigned>(keys / 16 * kWarp)},
                      static_cast<unsigned>(shared), dcontext, mixed, product, bias, log_sums, shape.starts, shape.lengths,
                      dproduct, mask, static_cast<int>(shape.heads), static_cast<long long>(shape.rows));
}

absl::Status RefitRows(Context* context, const cpu::RefitInputs& in, const cpu::RefitShape& shape, float* x, float* r,
                       Index rows) {
  const auto& [count, stride, columns, width] = shape;
  const Blocks blocks = {Parts(rows, kWarps)};
  const Threads threads = {kWarp, kWarps};
  const Index wide = std::min(Lanes(stride), Lanes(columns));
  absl::Status status = Launch(context, ByLanes("refit_features", wide), blocks, threads, in.features, in.roots, x, rows, count,
                               stride / wide, columns / wide);
  if (!status.ok()) return status;
  const Index lanes = Lanes(width);
  return Launch(context, ByLanes("refit_targets", lanes), blocks, threads, in.added, in.taught, in.own, in.bias, in.roots, r,
                rows, width / lanes);
}

Index SquareSums(Index count) { return std::min(Parts(count / Lanes(count), kBlock), kMostSquareSums); }

absl::Status HalfSquares(Context* context, const float* x, double* sums, double* half, Index count) {
  const Index lanes = Lanes(count);
  const Index blocks = SquareSums(count);
  absl::Status status = Launch(context, ByLanes("sum_squares", lanes), {blocks}, {kBlock}, x, sums, count / lanes);
  return status.ok() ? Launch(context, "half_sum", {1}, {kBlock}, sums, half, blocks) : status;
}

}  // namespace espalier::gpu
