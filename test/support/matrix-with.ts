// Random symmetric matrices whose eigenvalues are known.
import type { RandomStream } from '../../pruning/random.ts';

/** Q·diag(eigenvalues)·Qᵀ with Q a product of three random reflections. @returns [n, n], symmetric to the last bit. */
export function matrixWith(eigenvalues: Float64Array, random: RandomStream): Float64Array {
  const size = eigenvalues.length;
  const matrix = new Float64Array(size * size);
  eigenvalues.forEach((value, i) => {
    matrix[i * (size + 1)] = value;
  });
  for (let turn = 0; turn < 3; turn++) {
    const v = new Float64Array(size).map(() => random.uniform() * 2 - 1);
    const square = v.reduce((sum, value) => sum + value * value, 0);
    const reflect = (at: (i: number) => number) => {
      let projection = 0;
      for (let i = 0; i < size; i++) projection += v[i] * matrix[at(i)];
      for (let i = 0; i < size; i++) matrix[at(i)] -= (2 * projection * v[i]) / square;
    };
    for (let line = 0; line < size; line++) reflect((i) => line * size + i);
    for (let line = 0; line < size; line++) reflect((i) => i * size + line);
  }
  for (let i = 0; i < size; i++) for (let j = 0; j < i; j++) matrix[i * size + j] = matrix[j * size + i];
  return matrix;
}
