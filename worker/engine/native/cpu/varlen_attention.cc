// Attention of samples of any lengths as plain loops: what the GPU's kernels of that name compute, for machines that have none and
// run what is issued there. On a CPU attention itself is attention.cc, which is several times as fast.
#include <cmath>
#include <vector>

#include "cpu/kernels.h"

namespace espalier::cpu {
namespace {

struct Head {
  Index first_row;
  Index end_row;
  Index length;
  Index head;
  // Of one head, and of all.
  Index size;
  Index width;
};

Head HeadOf(const VarlenShape& shape, Index unit) {
  const Index sample = unit / shape.heads;
  return {shape.starts[sample], shape.starts[sample + 1],   shape.lengths[sample],
          unit % shape.heads,   shape.size, shape.heads * shape.size};
}

// Query (0), key (1) or value (2) of all tokens of a head, with their biases: [length, size].
std::vector<float> PartOf(const Head& own, const float* product, const float* bias, Index part) {
  std::vector<float> rows(own.length * own.size);
  const Index column = part * own.width + own.head * own.size;
  for (Index row = 0; row < own.length; row++)
    for (Index i = 0; i < own.size; i++)
      rows[row * own.size + i] = product[(own.first_row + row) * 3 * own.width + column + i] + bias[column + i];
  return rows;
}

double Dot(const float* a, const float* b, Index size) {
  double sum = 0;
  for (Index i = 0; i < size; i++) sum += static_cast<double>(a[i]) * b[i];
  return sum;
}

}  // namespace

void VarlenAttention(const VarlenShape& shape, const float* product, const float* bias, float* mixed, float* log_sums,
                     Index first, Index end) {
  for (Index unit = first; unit < end; unit++) {
    const Head own = HeadOf(shape, unit);
    const auto query = PartOf(own, product, bias, 0);
    const auto key = PartOf(own, product, bias, 1);
    const auto value = PartOf(own, product, bias, 2);
    std::vector<double> scores(own.length);
    for (Index row = 0; row < own.end_row - own.first_row; row++) {
      float* out = mixed + (own.first_row + row) * own.width + own.head * own.size;
      std::vector<double> sums(own.size);
      if (row < own.length) {
        double most = -HUGE_VAL;
        for (Index to = 0; to < own.length; to++) {
          scores[to] = Dot(&query[row * own.size], &key[to * own.size], own.size);
          most = scores[to] > most ? scores[to] : most;
        }
        double total = 0;
        for (Index to = 0; to < own.length; to++) {
          const double share = std::exp(scores[to] - most);
          total += share;
          for (Index i = 0; i < own.size; i++) sums[i] += share * value[to * own.size + i];
        }
        for (double& sum : sums) sum /= total;
        log_sums[own.head * shape.rows + own.first_row + row] = static_cast<float>(most / M_LN2 + std::log2(total));
      }
      for (Index i = 0; i < own.size; i++) out[i] = static_cast<float>(sums[i]);
    }
  }
}

void VarlenAttentionGrad(const VarlenShape& shape, const float* dcontext, const float* mixed, const float* product,
                         const float* bias, const float* log_sums, float* dproduct, float* mask, Index first, Index end) {
  for (Index unit = first; unit < end; unit++) {
    const Head own = HeadOf(shape, unit);
    const auto query = PartOf(own, product, bias, 0);
    const auto key = PartOf(own, product, bias, 1);
    const auto value = PartOf(own, product, bias, 2);
    std::vector<double> gradients[3];
    for (auto& part : gradients) part.resize((own.end_row - own.first_row) * own.size);
    double whole = 0;
    for (Index row = 0; row < own.length; row++) {
      const Index at = (own.first_row + row) * own.width + own.head * own.size;
      const double dot = Dot(dcontext + at, mixed + at, own.size);
      whole += dot;
      for (Index to = 0; to < own.length; to++) {
        const double score = Dot(&query[row * own.size], &key[to * own.size], own.size);
        const double share = std::exp2(score / M_LN2 - log_sums[own.head * shape.rows + own.first_row + row]);
        const double dscore = share * (Dot(dcontext + at, &value[to * own.size], own.size) - dot);
        for (Index i = 0; i < own.size; i++) {
          gradients[0][row * own.size + i] += dscore * key[to * own.size + i];
          gradients[1][to * own.size + i] += dscore * query[row * own.size + i];
          gradients[2][to * own.size + i] += share * dcontext[at + i];
        }
      }
    }
    mask[unit] = static_cast<float>(whole);
    for (Index part = 0; part < 3; part++)
      for (Index row = 0; row < own.end_row - own.first_row; row++)
        for (Index i = 0; i < own.size; i++)
          dproduct[(own.first_row + row) * 3 * own.width + part * own.width + own.head * own.size + i] =
              static_cast<float>(gradients[part][row * own.size + i]);
  }
}

}  // namespace espalier::cpu
