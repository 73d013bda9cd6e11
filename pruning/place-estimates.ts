// Estimates by place, in each of which a change of one vector is told by coordinates along a few directions and by what is left
// beside them: estimate − 2·p·x − 2r·|rest of x|, for all places at once.
import {
  ADD_I32,
  AT_MOST_F64,
  advance,
  compiledOnce,
  constantI32,
  F64,
  get,
  I32,
  LOAD_F64,
  LOAD_F64_TWICE,
  loadF64x2,
  MULTIPLY_F64X2,
  memoryOf,
  SHIFT_LEFT_I32,
  STORE_I32,
  SUBTRACT_F64X2,
  set,
  storeF64x2,
  TWICE_F64,
  V128,
  type WebAssemblyFunction,
  whileBelow,
} from './web-assembly.ts';

const FLOAT64 = Float64Array.BYTES_PER_ELEMENT;
const INT32 = Int32Array.BYTES_PER_ELEMENT;
/** Places that are computed at once. */
const AT_ONCE = 8;

/** [estimates, results, where they end, 2r, coordinates, bytes of one direction's, 2x, where it ends, |rest|]. */
type Lowered = (
  estimates: number,
  results: number,
  resultsEnd: number,
  twiceRests: number,
  coordinates: number,
  directionBytes: number,
  twiceAlong: number,
  twiceAlongEnd: number,
  beside: number,
) => void;
/** [numbers, where they end, limit, list] → where the list of the places ends whose number is not above the limit. */
type AtMost = (numbers: number, numbersEnd: number, limit: number, list: number) => number;

export class PlaceEstimates {
  /** By place; Infinity where there is none. */
  readonly estimates: Float64Array;
  /** What `lower` found. */
  readonly lowered: Float64Array;
  /** What `atMost` found, ascending. */
  readonly found: Int32Array;
  readonly #twiceRests: Float64Array;
  /** [directions, places]. */
  readonly #coordinates: Float64Array;
  readonly #twiceAlong: Float64Array;
  readonly #places: number;
  readonly #directions: number;
  readonly #compute: Lowered;
  readonly #atMost: AtMost;

  constructor(places: number, directions: number) {
    this.#places = Math.ceil(places / AT_ONCE) * AT_ONCE;
    this.#directions = directions;
    const memory = memoryOf((this.#places * (3 + directions) + directions) * FLOAT64 + (this.#places + 1) * INT32);
    let at = 0;
    const array = (length: number) => {
      const found = new Float64Array(memory.buffer, at, length);
      at += found.byteLength;
      return found;
    };
    this.estimates = array(this.#places).fill(Number.POSITIVE_INFINITY);
    this.lowered = array(this.#places);
    this.#twiceRests = array(this.#places);
    this.#coordinates = array(this.#places * directions);
    this.#twiceAlong = array(directions);
    this.found = new Int32Array(memory.buffer, at, this.#places + 1);
    this.#compute = loweredOn(memory);
    this.#atMost = atMostOn(memory);
  }

  /** Of the place: p, which begins at `start` of `coordinates`, and r. */
  set(place: number, coordinates: Float64Array, start: number, rest: number): void {
    for (let k = 0; k < this.#directions; k++) this.#coordinates[k * this.#places + place] = coordinates[start + k];
    this.#twiceRests[place] = 2 * rest;
  }

  /** Computes the first `count` places into `lowered`. @param along x, which begins at `start`. */
  lower(count: number, along: Float64Array, start: number, beside: number): void {
    this.#run(count, this.lowered, along, start, beside);
  }

  /** Finds the places among the first `count` where what was lowered is not above the limit. @returns how many. */
  atMost(count: number, limit: number): number {
    const { lowered, found } = this;
    const end = this.#atMost(lowered.byteOffset, lowered.byteOffset + count * FLOAT64, limit, found.byteOffset);
    return (end - found.byteOffset) / INT32;
  }

  /** Computes the first `count` places into `estimates`. */
  move(count: number, along: Float64Array, beside: number): void {
    this.#run(count, this.estimates, along, 0, beside);
  }

  #run(count: number, results: Float64Array, along: Float64Array, start: number, beside: number): void {
    const twiceAlong = this.#twiceAlong;
    for (let k = 0; k < twiceAlong.length; k++) twiceAlong[k] = 2 * along[start + k];
    this.#compute(
      this.estimates.byteOffset,
      results.byteOffset,
      results.byteOffset + count * FLOAT64,
      this.#twiceRests.byteOffset,
      this.#coordinates.byteOffset,
      this.#places * FLOAT64,
      twiceAlong.byteOffset,
      twiceAlong.byteOffset + twiceAlong.byteLength,
      beside,
    );
  }
}

const loweredOn = compiledOnce<Lowered>(loweredFunction);

function loweredFunction(): WebAssemblyFunction {
  const [ESTIMATES, RESULTS, RESULTS_END, TWICE_RESTS, COORDINATES, DIRECTION_BYTES] = [0, 1, 2, 3, 4, 5];
  const [TWICE_ALONG, TWICE_ALONG_END, BESIDE, DIRECTION, ALONG] = [6, 7, 8, 9, 10];
  const [BESIDE_TWICE, ALONG_TWICE] = [11, 12];
  const SUMS = [13, 14, 15, 16];
  /** Of each pair of the places: its sum less the pair at `address` times `factor`. */
  const subtract = (address: number, factor: number) =>
    SUMS.flatMap((sum, pair) => [
      ...[...get(sum), ...get(address), ...loadF64x2(16 * pair), ...get(factor)],
      ...[...MULTIPLY_F64X2, ...SUBTRACT_F64X2, ...set(sum)],
    ]);
  const direction = [
    ...[...get(ALONG), ...LOAD_F64_TWICE, ...set(ALONG_TWICE)],
    ...subtract(DIRECTION, ALONG_TWICE),
    ...[...get(DIRECTION), ...get(DIRECTION_BYTES), ...ADD_I32, ...set(DIRECTION)],
    ...advance(ALONG, FLOAT64),
  ];
  const places = [
    ...SUMS.flatMap((sum, pair) => [...get(ESTIMATES), ...loadF64x2(16 * pair), ...set(sum)]),
    ...subtract(TWICE_RESTS, BESIDE_TWICE),
    ...[...get(COORDINATES), ...set(DIRECTION), ...get(TWICE_ALONG), ...set(ALONG)],
    ...whileBelow(ALONG, TWICE_ALONG_END, direction),
    ...SUMS.flatMap((sum, pair) => [...get(RESULTS), ...get(sum), ...storeF64x2(16 * pair)]),
    ...[ESTIMATES, RESULTS, TWICE_RESTS, COORDINATES].flatMap((at) => [...advance(at, 32), ...advance(at, 32)]),
  ];
  return {
    parameters: [I32, I32, I32, I32, I32, I32, I32, I32, F64],
    results: [],
    locals: [I32, I32, V128, V128, ...SUMS.map(() => V128)],
    code: [...get(BESIDE), ...TWICE_F64, ...set(BESIDE_TWICE), ...whileBelow(RESULTS, RESULTS_END, places)],
  };
}

const atMostOn = compiledOnce<AtMost>(atMostFunction);

/** Writes every place down, and goes on in the list only after one that is found: nothing for a processor to guess. */
function atMostFunction(): WebAssemblyFunction {
  const [NUMBERS, NUMBERS_END, LIMIT, LIST, PLACE] = [0, 1, 2, 3, 4];
  const place = [
    ...[...get(LIST), ...get(PLACE), ...STORE_I32],
    ...[...get(LIST), ...get(NUMBERS), ...LOAD_F64, ...get(LIMIT), ...AT_MOST_F64],
    ...[...constantI32(2), ...SHIFT_LEFT_I32, ...ADD_I32, ...set(LIST)],
    ...[...advance(NUMBERS, FLOAT64), ...advance(PLACE, 1)],
  ];
  return {
    parameters: [I32, I32, F64, I32],
    results: [I32],
    locals: [I32],
    code: [...whileBelow(NUMBERS, NUMBERS_END, place), ...get(LIST)],
  };
}
