// A model's outputs in one array, as they go to a thread.

export interface PackedOutputs {
  /** Those of all samples, one after the other. */
  readonly numbers: Float32Array;
  /** [samples]. */
  readonly lengths: Int32Array;
}

export function packOutputs(outputs: readonly Float32Array[]): PackedOutputs {
  const lengths = Int32Array.from(outputs, ({ length }) => length);
  const numbers = new Float32Array(lengths.reduce((sum, length) => sum + length, 0));
  let offset = 0;
  for (const output of outputs) {
    numbers.set(output, offset);
    offset += output.length;
  }
  return { numbers, lengths };
}

/** Inverse of `packOutputs`; the arrays are views. */
export function unpackOutputs({ numbers, lengths }: PackedOutputs): Float32Array[] {
  let end = 0;
  return Array.from(lengths, (length) => {
    end += length;
    return numbers.subarray(end - length, end);
  });
}
