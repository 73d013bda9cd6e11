// The members of the set that rearrangement prunes, and which of them leaves when a candidate comes. With S the sum of the
// members' columns, the score of member i is F_ii − 2·G_i·(S + G_j) for candidate j. Few scores are computed, since most
// are bounded from below by what is known. Q are a few directions, p_i = Q·G_i, n_i = |G_i|, r_i the length of what Q
// leaves of G_i. Then for any V
//   |G_i·V| <= n_i·|V|   and   |G_i·V − p_i·QV| <= r_i·|V − QᵀQV|.
// The first bounds G_i·G_j at once, the second more tightly; the second bounds too how far G_i·S moves at a replacement.
import type { FisherBlock } from './fisher-block.ts';
import { type LeadingDirections, leadingDirections } from './leading-directions.ts';

/** Members that have bounds in common. */
const BLOCK = 32;
/** Members of similar length, which are put into blocks by their directions. */
const STRETCH = 8 * BLOCK;
const MOST_DIRECTIONS = 8;
/** Fewer variables than this for each direction do not repay it. */
const VARIABLES_A_DIRECTION = 64;

export class MemberBounds {
  readonly #block: FisherBlock;
  readonly #directions: LeadingDirections;
  /** Share of F_ii by which n² and r² are inflated: n_i·n_j and r_i·r_j are then larger by this share of √(F_ii·F_jj), by
   * Cauchy and Schwarz, which is more than rounding takes from a score. */
  readonly #margin: number;
  /** [variables]: n and r, inflated. */
  readonly #lengths: Float64Array;
  readonly #rests: Float64Array;

  // By place: members in the order in which they came. What has left keeps its place, with an estimate of Infinity.
  readonly #members: Int32Array;
  /** 2n and 2r. */
  readonly #twiceLengths: Float64Array;
  readonly #twiceRests: Float64Array;
  readonly #coordinates: Float64Array;
  /** F_ii − 2u_i as computed last, and the number of replacements that it knows of. */
  readonly #bases: Float64Array;
  readonly #versions: Int32Array;
  /** Lower bound of the base as it is. */
  readonly #estimates: Float64Array;
  #count = 0;

  // By block: the least estimate, the longest members, and the box in which the coordinates lie.
  readonly #floors: Float64Array;
  readonly #mostTwiceRest: Float64Array;
  readonly #least: Float64Array;
  readonly #most: Float64Array;

  #version = 0;
  #bestPlace = -1;

  /** @param members by rising F_ii. */
  constructor(block: FisherBlock, members: Int32Array) {
    const { size, diagonal, gradients } = block;
    this.#block = block;
    const most = Math.min(MOST_DIRECTIONS, Math.floor(size / VARIABLES_A_DIRECTION));
    this.#directions =
      gradients === null || most === 0
        ? { count: 0, coordinates: new Float64Array() }
        : leadingDirections(gradients, gradients.length / size, diagonal, most);
    const { count, coordinates } = this.#directions;
    // S has at most `size` columns, no longer than the candidate's, and changes at most `size` times.
    this.#margin = 1e-9 + 8 * Number.EPSILON * size * (size + (gradients?.length ?? 0) / size);
    this.#lengths = new Float64Array(size);
    this.#rests = new Float64Array(size);
    for (let i = 0; i < size; i++) {
      let rest = diagonal[i];
      for (let k = i * count; k < (i + 1) * count; k++) rest -= coordinates[k] * coordinates[k];
      this.#lengths[i] = this.#inflated(diagonal[i], diagonal[i]);
      this.#rests[i] = this.#inflated(rest, diagonal[i]);
    }
    this.#members = new Int32Array(size);
    this.#twiceLengths = new Float64Array(size);
    this.#twiceRests = new Float64Array(size);
    this.#coordinates = new Float64Array(size * count);
    this.#bases = new Float64Array(size);
    this.#versions = new Int32Array(size);
    this.#estimates = new Float64Array(size);
    const blocks = Math.ceil(size / BLOCK);
    this.#floors = new Float64Array(blocks).fill(Number.POSITIVE_INFINITY);
    this.#mostTwiceRest = new Float64Array(blocks);
    this.#least = new Float64Array(blocks * count).fill(Number.POSITIVE_INFINITY);
    this.#most = new Float64Array(blocks * count).fill(Number.NEGATIVE_INFINITY);
    block.begin(members);
    for (let from = 0; from < members.length; from += STRETCH)
      for (const member of this.#byDirection(members.slice(from, from + STRETCH))) this.#append(member);
  }

  /** The members, in no order. */
  members(): number[] {
    return Array.from(this.#members.subarray(0, this.#count)).filter(
      (_, place) => this.#estimates[place] !== Number.POSITIVE_INFINITY,
    );
  }

  /** Lets `candidate`, no shorter than any before it, come and the one with the least score go, the lowest index among
   * equals; it may be the candidate itself. */
  admit(candidate: number): void {
    const { diagonal } = this.#block;
    const own = diagonal[candidate] - 2 * this.#block.product(candidate) - 2 * diagonal[candidate];
    this.#findLeast(candidate, own);
    if (this.#bestPlace >= 0) this.#replace(candidate, this.#bestPlace);
  }

  #findLeast(candidate: number, own: number): void {
    const estimates = this.#estimates;
    const twiceLengths = this.#twiceLengths;
    const members = this.#members;
    const length = this.#lengths[candidate];
    this.#bestPlace = -1;
    let best = own;
    let bestIndex = candidate;
    for (let begin = 0, block = 0; begin < this.#count; begin += BLOCK, block++) {
      if (this.#blockBound(block, candidate) > best) continue;
      const end = Math.min(begin + BLOCK, this.#count);
      let floor = Number.POSITIVE_INFINITY;
      for (let place = begin; place < end; place++) {
        if (estimates[place] - twiceLengths[place] * length <= best && this.#mayBe(place, candidate, best)) {
          const member = members[place];
          const score = this.#bases[place] - 2 * this.#block.entry(member, candidate);
          if (score < best || (score === best && member < bestIndex)) {
            best = score;
            bestIndex = member;
            this.#bestPlace = place;
          }
        }
        if (estimates[place] < floor) floor = estimates[place];
      }
      this.#floors[block] = floor;
    }
  }

  /** No member of the block has a lower score. */
  #blockBound(block: number, candidate: number): number {
    const { count, coordinates } = this.#directions;
    const least = this.#least;
    const most = this.#most;
    let along = 0;
    for (let k = 0; k < count; k++) {
      const coordinate = coordinates[candidate * count + k];
      along += coordinate * (coordinate > 0 ? most : least)[block * count + k];
    }
    return this.#floors[block] - 2 * along - this.#mostTwiceRest[block] * this.#rests[candidate];
  }

  /** False: the member's score is above `best`. True: it need not be, and its base is up to date. */
  #mayBe(place: number, candidate: number, best: number): boolean {
    const { count, coordinates } = this.#directions;
    const own = this.#coordinates;
    let along = 0;
    for (let k = 0, at = place * count, other = candidate * count; k < count; k++, at++, other++)
      along += own[at] * coordinates[other];
    // What the candidate takes from the score, at most.
    const taken = 2 * along + this.#twiceRests[place] * this.#rests[candidate];
    if (this.#estimates[place] - taken > best) return false;
    if (this.#versions[place] === this.#version) return true;
    this.#refresh(place);
    return this.#bases[place] - taken <= best;
  }

  #replace(candidate: number, place: number): void {
    const { diagonal } = this.#block;
    const { count, coordinates } = this.#directions;
    const removed = this.#members[place];
    const squares = diagonal[candidate] + diagonal[removed];
    let rest = squares - 2 * this.#block.entry(candidate, removed);
    const change = new Float64Array(count);
    for (let k = 0; k < count; k++) {
      change[k] = coordinates[candidate * count + k] - coordinates[removed * count + k];
      rest -= change[k] * change[k];
    }
    this.#version++;
    this.#block.replace(candidate, removed);
    this.#estimates[place] = Number.POSITIVE_INFINITY;
    this.#move(change, this.#inflated(rest, squares));
    this.#append(candidate);
  }

  /** Takes from the estimates what S has moved along the directions, and at most has moved beside them. */
  #move(along: Float64Array, beside: number): void {
    const own = this.#coordinates;
    const estimates = this.#estimates;
    const { count } = this.#directions;
    for (let begin = 0, block = 0, at = 0; begin < this.#count; begin += BLOCK, block++) {
      const end = Math.min(begin + BLOCK, this.#count);
      let floor = Number.POSITIVE_INFINITY;
      for (let place = begin; place < end; place++) {
        let product = 0;
        for (let k = 0; k < count; k++, at++) product += own[at] * along[k];
        const estimate = estimates[place] - 2 * product - this.#twiceRests[place] * beside;
        estimates[place] = estimate;
        if (estimate < floor) floor = estimate;
      }
      this.#floors[block] = floor;
    }
  }

  #append(member: number): void {
    const place = this.#count++;
    const { count, coordinates } = this.#directions;
    this.#members[place] = member;
    this.#twiceLengths[place] = 2 * this.#lengths[member];
    this.#twiceRests[place] = 2 * this.#rests[member];
    this.#refresh(place);
    const block = Math.floor(place / BLOCK);
    this.#floors[block] = Math.min(this.#floors[block], this.#estimates[place]);
    this.#mostTwiceRest[block] = Math.max(this.#mostTwiceRest[block], this.#twiceRests[place]);
    for (let k = 0; k < count; k++) {
      const coordinate = coordinates[member * count + k];
      this.#coordinates[place * count + k] = coordinate;
      this.#least[block * count + k] = Math.min(this.#least[block * count + k], coordinate);
      this.#most[block * count + k] = Math.max(this.#most[block * count + k], coordinate);
    }
  }

  #refresh(place: number): void {
    const member = this.#members[place];
    const base = this.#block.diagonal[member] - 2 * this.#block.product(member);
    this.#bases[place] = base;
    this.#versions[place] = this.#version;
    this.#estimates[place] = base;
  }

  /** Sorts by the angle in the plane of the first two directions. */
  #byDirection(members: Int32Array): Int32Array {
    const { count, coordinates } = this.#directions;
    if (count < 2) return members;
    const angles = new Map<number, number>();
    for (const i of members) angles.set(i, Math.atan2(coordinates[i * count + 1], coordinates[i * count]));
    return members.sort((a, b) => angles.get(a)! - angles.get(b)!);
  }

  /** Length of a vector with this square, which was computed from terms of the size of `scale`. */
  #inflated(square: number, scale: number): number {
    return Math.sqrt(Math.max(0, square) + this.#margin * scale);
  }
}
