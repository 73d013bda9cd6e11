// The CPU's side of the operations: loops over ranges of independent units, for TensorFlow's threads to share. What a unit
// yields does not depend on the range that it is computed in. Float32, row-major; formulas stand in kernels/plain-kernels.ts.
#pragma once
#include <cstdint>

namespace espalier::cpu {

using Index = int64_t;

enum class Activation : int { kGelu = 0, kGeluTanh = 1, kRelu = 2 };

// Columns of one unit of ActivationGrad.
constexpr Index kColumnBlock = 256;

// a = activation(h + bias), in the scales of the weights. Units: rows of h [rows, width].
void BiasActivation(Activation kind, const float* h, const float* bias, float* a, Index first, Index end, Index width);

// dh = da * activation'(h + bias), and for each sample the sum over its rows of da * activation(h + bias), the gradient of the
// neuron mask [samples, width]. Sample s has rows starts[s] to starts[s + 1]; with starts null `rows` each. Units: blocks of
// kColumnBlock columns of a sample's rows.
void ActivationGrad(Activation kind, const float* da, const float* h, const float* bias, float* dh, float* mask, Index first,
                    Index end, const int32_t* starts, Index rows, Index width);

struct NormOutputs {
  float* y;
  float* normalized;
  float* inverse_deviation;
};

// LayerNorm of x + bias + residual, where the last two may be null. Units: rows.
void Norm(const float* x, const float* bias, const float* residual, const float* gamma, const float* beta, float epsilon,
          NormOutputs out, Index first, Index end, Index width);

// Gradient of Norm with respect to its sum, for incoming gradients dy + dy2, the second of which may be null. Units: rows.
void NormGrad(const float* dy, const float* dy2, const float* normalized, const float* inverse_deviation, const float* gamma,
              float* dx, Index first, Index end, Index width);

// Softmax over rows of x + mask; of every `rows_per_mask` rows the mask, which may be null, has one. Units: rows.
void Softmax(const float* x, const float* mask, float* p, Index first, Index end, Index width, Index rows_per_mask);

// p * (dp - sum(p * dp)). Units: rows.
void SoftmaxGrad(const float* p, const float* dp, float* dx, Index first, Index end, Index width);

// Sizes of an attention: `queries` of each sample's `tokens` ask, in `heads` heads of `size`.
struct HeadShape {
  Index samples;
  Index queries;
  Index tokens;
  Index heads;
  Index size;
};

// x [samples * tokens, parts * heads * size] + bias -> `parts` tensors [samples, heads, tokens, size]. Units: samples.
void SplitHeads(const float* x, const float* bias, float* const* out, Index parts, Index first, Index end, Index tokens,
                Index heads, Index size);

// The inverse of SplitHeads, without a bias. Units: samples.
void MergeHeads(const float* const* in, float* y, Index parts, Index first, Index end, Index tokens, Index heads, Index size);

// dc = dcontext [samples * tokens, heads * size] split into heads, and the sum of dcontext * context over each sample and head,
// the gradient of the head mask [samples, heads]. `dc` may be null. Units: samples.
void SplitDot(const float* dcontext, const float* context, float* dc, float* mask, Index first, Index end, Index tokens,
              Index heads, Index size);

// Rows of products: the one of row r begins at data + r * stride.
struct Rows {
  const float* data;
  Index stride;
};

struct MutableRows {
  float* data;
  Index stride;
};

struct AttentionInputs {
  Rows query;
  Rows key;
  Rows value;
  // Biases of query, key and value, one after the other: [3 * heads * size].
  const float* bias;
  // [samples, tokens]; may be null.
  const float* mask;
};

// softmax(q k^T + mask) v for each sample and head, out of and into rows of all heads: context [samples * queries, heads *
// size]. The softmax p [samples, heads, queries, tokens] is kept for the gradient. Units: (sample, head).
void Attention(const HeadShape& shape, const AttentionInputs& in, float* context, float* p, Index first, Index end);

struct AttentionGradients {
  // With data null nobody asks for them.
  MutableRows query;
  MutableRows key;
  MutableRows value;
  // [samples, heads]
  float* mask;
};

// Gradients of Attention with respect to its products, and that of the head mask. Units: (sample, head).
void AttentionGrad(const HeadShape& shape, const float* dcontext, const AttentionInputs& in, const float* p,
                   AttentionGradients out, Index first, Index end);

// Samples one after the other: sample s has rows starts[s] to starts[s + 1], of which the first lengths[s] are tokens and the
// others padding. A row of a product [rows, 3 * heads * size] has query, key and value of all heads.
struct VarlenShape {
  Index samples;
  Index rows;
  // Most rows of a sample.
  Index longest;
  Index heads;
  Index size;
  const int32_t* starts;
  const int32_t* lengths;
};

// softmax(q k^T) v for each sample and head, mixed [rows, heads * size], 0 at padding. log_sums [heads, rows] are kept for the
// gradient: logarithms to base 2 of the sums of exp(q k^T). Units: (sample, head).
void VarlenAttention(const VarlenShape& shape, const float* product, const float* bias, float* mixed, float* log_sums,
                     Index first, Index end);

// Gradient of VarlenAttention with respect to the product, 0 at padding, and that of the head mask [samples, heads]. Units:
// (sample, head).
void VarlenAttentionGrad(const VarlenShape& shape, const float* dcontext, const float* mixed, const float* product,
                         const float* bias, const float* log_sums, float* dproduct, float* mask, Index first, Index end);

// Numbers of one unit of SumSquares.
constexpr Index kSquaresBlock = 8192;

// Sums of squares, in float64, of each unit: blocks of kSquaresBlock of `count` numbers.
void SumSquares(const float* x, double* sums, Index first, Index end, Index count);

// What the sums of a refit are made of. All but `taught` may be null.
struct RefitInputs {
  // [rows, stride], of which `count` columns count.
  const float* features;
  // [rows]; null: 1.
  const float* roots;
  // [rows, width], as the next two.
  const float* added;
  const float* taught;
  const float* own;
  // [width]
  const float* bias;
};

struct RefitShape {
  Index count;
  Index stride;
  // More than `count`.
  Index columns;
  Index width;
};

// Rows times their roots: x [rows, columns] of features, a column of ones and zeros up to the last; r [rows, width] of
// added + ((taught - own) + bias). Single additions and a product, in this order: bits are those of plain kernels. Units: rows.
void RefitRows(const RefitInputs& in, const RefitShape& shape, float* x, float* r, Index first, Index end);

}  // namespace espalier::cpu
