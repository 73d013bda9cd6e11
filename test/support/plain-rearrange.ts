// Rearrangement as its steps read, every score of every turn computed: what the program's is compared with.

/** @param gram F by rows, [variables, variables]. @returns mask [variables], 1 kept, 0 pruned. */
export function plainRearrange(gram: Float64Array, variables: number, pruned: number): Uint8Array {
  const entry = (i: number, j: number) => gram[i * variables + j];
  // Rising importance; among equals the search keeps the lower index, so the higher one is pruned first.
  const order = Array.from({ length: variables }, (_, i) => i).sort((a, b) => entry(a, a) - entry(b, b) || b - a);
  let members = order.slice(0, pruned);
  const u = Float64Array.from({ length: variables }, (_, i) => members.reduce((sum, j) => sum + entry(i, j), 0));
  for (const candidate of pruned === 0 ? [] : order.slice(pruned)) {
    const choices = [...members, candidate];
    const scores = choices.map((i) => entry(i, i) - 2 * u[i] - 2 * entry(i, candidate));
    const least = scores.reduce((a, b) => Math.min(a, b));
    const removed = choices.filter((_, at) => scores[at] === least).reduce((a, b) => Math.min(a, b));
    if (removed === candidate) continue;
    members = choices.filter((i) => i !== removed);
    for (let i = 0; i < variables; i++) u[i] += entry(i, candidate) - entry(i, removed);
  }
  const mask = new Uint8Array(variables).fill(1);
  for (const member of members) mask[member] = 0;
  return mask;
}
