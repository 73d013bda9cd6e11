// Samples of given lengths for tests of plans: token ids tell samples apart.
import type { EncodedSample } from '../../../dataset/encoded-sample.ts';

export function samplesOf(lengths: readonly number[]): EncodedSample[] {
  return lengths.map((length, i) => ({
    tokenIds: Int32Array.from({ length }, (_, t) => 100 * i + t),
    typeIds: Uint8Array.from({ length }, (_, t) => (t % 2 === 0 ? 0 : 1)),
    target: Float32Array.of(i % 3),
  }));
}
