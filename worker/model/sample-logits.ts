// One sample's part of a micro-batch's logits.

/** Logits of sample `index` without its padding.
 * @param logits [b · rowsPerSample, outputs] @returns [rows, outputs], a view. */
export function sampleLogits(
  logits: Float32Array,
  index: number,
  rowsPerSample: number,
  rows: number,
  outputs: number,
): Float32Array {
  const start = index * rowsPerSample * outputs;
  return logits.subarray(start, start + rows * outputs);
}
