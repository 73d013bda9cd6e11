// Seeded random numbers that are the same on every machine: xoshiro128** (Blackman and Vigna 2018), its state hashed
// from the seed and a name. Streams of different names are independent, so adding a draw to one never moves another.

export interface RandomStream {
  /** 32 random bits, 0 … 2³² − 1. */
  nextUint32(): number;
  /** Uniform in [0, 1), 53 random bits. */
  uniform(): number;
  /** Uniform in 0 … bound − 1, without bias. @throws RangeError unless bound is an integer from 1 to 2³². */
  integer(bound: number): number;
  /** A random order of 0 … length − 1 (Fisher–Yates). */
  permutation(length: number): Int32Array;
}

/** The stream called `name` of a seed. @param seed an integer from 0 to 2⁵³ − 1. @throws RangeError otherwise. */
export function randomStream(seed: number, name: string): RandomStream {
  if (!Number.isSafeInteger(seed) || seed < 0) throw new RangeError(`seed: got ${seed}, expected an integer from 0`);
  const key = new TextEncoder().encode(`${seed}\n${name}`);
  const state = Uint32Array.of(hash32(key, 1), hash32(key, 2), hash32(key, 3), hash32(key, 4));
  if (state.every((word) => word === 0)) state[0] = 1;

  const nextUint32 = (): number => {
    const result = Math.imul(rotateLeft(Math.imul(state[1], 5), 7), 9) >>> 0;
    const shifted = state[1] << 9;
    state[2] ^= state[0];
    state[3] ^= state[1];
    state[1] ^= state[2];
    state[0] ^= state[3];
    state[2] ^= shifted;
    state[3] = rotateLeft(state[3], 11);
    return result;
  };
  const integer = (bound: number): number => {
    if (!Number.isInteger(bound) || bound < 1 || bound > 2 ** 32)
      throw new RangeError(`bound: got ${bound}, expected an integer from 1 to 2^32`);
    // Draws above the largest multiple of `bound` would favour small remainders; they are drawn again.
    const limit = 2 ** 32 - (2 ** 32 % bound);
    let bits = nextUint32();
    while (bits >= limit) bits = nextUint32();
    return bits % bound;
  };
  return {
    nextUint32,
    integer,
    uniform: () => ((nextUint32() >>> 5) * 2 ** 26 + (nextUint32() >>> 6)) / 2 ** 53,
    permutation: (length) => {
      const order = Int32Array.from({ length }, (_, index) => index);
      for (let last = length - 1; last > 0; last--) {
        const other = integer(last + 1);
        const moved = order[last];
        order[last] = order[other];
        order[other] = moved;
      }
      return order;
    },
  };
}

/** FNV-1a with the finaliser of MurmurHash3. */
function hash32(bytes: Uint8Array, salt: number): number {
  let hash = Math.imul(0x811c9dc5 ^ salt, 0x01000193);
  for (const byte of bytes) hash = Math.imul(hash ^ byte, 0x01000193);
  hash = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b);
  hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2ae35);
  return (hash ^ (hash >>> 16)) >>> 0;
}

function rotateLeft(word: number, bits: number): number {
  return ((word << bits) | (word >>> (32 - bits))) >>> 0;
}
