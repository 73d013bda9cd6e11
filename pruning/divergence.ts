// How far the outputs of a pruned model are from the dense model's: the alarm of gradual pruning (docs/method.md).

/** Kullback-Leibler divergence of softmax(pruned) from softmax(dense), in nats: sum of p · (log p − log q). >= 0 but for rounding.
 * @param dense logits of one distribution. @param pruned as many. */
export function softmaxDivergence(dense: ArrayLike<number>, pruned: ArrayLike<number>): number {
  const [denseSum, prunedSum] = [logSumOfExponentials(dense), logSumOfExponentials(pruned)];
  let divergence = 0;
  for (let at = 0; at < dense.length; at++) {
    const logP = dense[at] - denseSum;
    divergence += Math.exp(logP) * (logP - (pruned[at] - prunedSum));
  }
  return divergence;
}

/** Kullback-Leibler divergence of independent yes-or-no outputs, in nats: the sum of that of each, sigmoid(dense) to
 * sigmoid(pruned). */
export function sigmoidDivergence(dense: ArrayLike<number>, pruned: ArrayLike<number>): number {
  let divergence = 0;
  // A sigmoid is the softmax of the logit and 0.
  for (let at = 0; at < dense.length; at++) divergence += softmaxDivergence([dense[at], 0], [pruned[at], 0]);
  return divergence;
}

/** Mean of the squared differences. */
export function squaredDifference(dense: ArrayLike<number>, pruned: ArrayLike<number>): number {
  let sum = 0;
  for (let at = 0; at < dense.length; at++) sum += (dense[at] - pruned[at]) ** 2;
  return sum / dense.length;
}

function logSumOfExponentials(values: ArrayLike<number>): number {
  let most = Number.NEGATIVE_INFINITY;
  for (let at = 0; at < values.length; at++) most = Math.max(most, values[at]);
  let sum = 0;
  for (let at = 0; at < values.length; at++) sum += Math.exp(values[at] - most);
  return most + Math.log(sum);
}
