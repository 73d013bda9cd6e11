// Drawn samples in a few large arrays, which pass between threads without a copy and take little memory beside the numbers
// themselves. Unpacked samples are views of them.
import type { DrawnSample } from './row-encoder.ts';

/** [samples] unless said otherwise; everything of one sample follows that of the one before. */
export interface PackedSamples {
  readonly tokenIds: Int32Array;
  readonly typeIds: Uint8Array;
  /** Tokens of each sample. */
  readonly lengths: Int32Array;
  readonly targets: Float32Array;
  readonly targetLengths: Int32Array;
  readonly rows: Int32Array;
  readonly draws: Int32Array;
  readonly truncated: Uint8Array;
  /** -1: no window. */
  readonly windowPositions: Int32Array;
  readonly windowLengths: Int32Array;
  readonly windowStarts: Int32Array;
  readonly windowEnds: Int32Array;
}

export function packSamples(drawn: readonly DrawnSample[]): PackedSamples {
  const numbers = (of: (sample: DrawnSample) => number) => Int32Array.from(drawn, of);
  return {
    tokenIds: joined(Int32Array, drawn, ({ sample }) => sample.tokenIds),
    typeIds: joined(Uint8Array, drawn, ({ sample }) => sample.typeIds),
    lengths: numbers(({ sample }) => sample.tokenIds.length),
    targets: joined(Float32Array, drawn, ({ sample }) => sample.target),
    targetLengths: numbers(({ sample }) => sample.target.length),
    rows: numbers(({ row }) => row),
    draws: numbers(({ draw }) => draw),
    truncated: Uint8Array.from(drawn, ({ truncated }) => Number(truncated)),
    windowPositions: numbers(({ window }) => window?.position ?? -1),
    windowLengths: numbers(({ window }) => window?.starts.length ?? 0),
    windowStarts: joined(Int32Array, drawn, ({ window }) => window?.starts ?? new Int32Array(0)),
    windowEnds: joined(Int32Array, drawn, ({ window }) => window?.ends ?? new Int32Array(0)),
  };
}

/** Inverse of `packSamples`; the arrays of the samples are views. */
export function unpackSamples(packed: PackedSamples): DrawnSample[] {
  let token = 0;
  let target = 0;
  let place = 0;
  return Array.from(packed.lengths, (length, i): DrawnSample => {
    const [tokens, targets, places] = [token, target, place];
    token += length;
    target += packed.targetLengths[i];
    place += packed.windowLengths[i];
    const position = packed.windowPositions[i];
    return {
      sample: {
        tokenIds: packed.tokenIds.subarray(tokens, token),
        typeIds: packed.typeIds.subarray(tokens, token),
        target: packed.targets.subarray(targets, target),
      },
      truncated: packed.truncated[i] === 1,
      window:
        position < 0
          ? null
          : {
              position,
              starts: packed.windowStarts.subarray(places, place),
              ends: packed.windowEnds.subarray(places, place),
            },
      row: packed.rows[i],
      draw: packed.draws[i],
    };
  });
}

/** What a message to another thread hands over instead of copying. */
export function buffersOf(packed: PackedSamples): ArrayBuffer[] {
  return Object.values(packed).map(({ buffer }) => buffer as ArrayBuffer);
}

interface Elements extends ArrayLike<number> {
  set(part: ArrayLike<number>, offset: number): void;
}

function joined<A extends Elements>(
  kind: new (length: number) => A,
  drawn: readonly DrawnSample[],
  of: (sample: DrawnSample) => A,
): A {
  const all = new kind(drawn.reduce((sum, sample) => sum + of(sample).length, 0));
  let offset = 0;
  for (const sample of drawn) {
    const part = of(sample);
    all.set(part, offset);
    offset += part.length;
  }
  return all;
}
