// The members of the set that rearrangement prunes, and which of them leaves when a candidate comes. With S the sum of the
// members' columns, the score of member i is F_ii − 2·G_i·(S + G_j) for candidate j. Few scores are computed, since most
// are bounded from below by what is known. Q are a few directions, p_i = Q·G_i, r_i the length of what Q leaves of G_i. Then
// for any V
//   |G_i·V − p_i·QV| <= r_i·|V − QᵀQV|.
// That bounds G_i·G_j, and how far G_i·S moves at a replacement.
import type { FisherBlock } from './fisher-block.ts';
import { type LeadingDirections, leadingDirections } from './leading-directions.ts';
import { PlaceEstimates } from './place-estimates.ts';

const MOST_DIRECTIONS = 8;
/** Fewer variables than this for each direction do not repay it. */
const VARIABLES_A_DIRECTION = 64;

export class MemberBounds {
  readonly #block: FisherBlock;
  readonly #directions: LeadingDirections;
  /** Share of F_ii by which n² and r² are inflated: n_i·n_j and r_i·r_j are then larger by this share of √(F_ii·F_jj), by
   * Cauchy and Schwarz, which is more than rounding takes from a score. */
  readonly #margin: number;
  /** [variables]: r, inflated. */
  readonly #rests: Float64Array;

  // By place: members in the order in which they came. What has left keeps its place, with an estimate of Infinity.
  readonly #members: Int32Array;
  /** F_ii − 2u_i as computed last, and the number of replacements that it knows of. */
  readonly #bases: Float64Array;
  readonly #versions: Int32Array;
  /** Lower bound of the base as it is. */
  readonly #places: PlaceEstimates;
  #count = 0;

  // What is worked on: places, and the members there.
  readonly #open: Int32Array;
  readonly #asked: Int32Array;

  #version = 0;
  #bestPlace = -1;

  /** @param members by rising F_ii. */
  constructor(block: FisherBlock, members: Int32Array) {
    const { size, diagonal, columns } = block;
    this.#block = block;
    const most = Math.min(MOST_DIRECTIONS, Math.floor(size / VARIABLES_A_DIRECTION));
    this.#directions =
      columns === null || most === 0
        ? { count: 0, coordinates: new Float64Array() }
        : leadingDirections(columns, diagonal, most);
    const { count, coordinates } = this.#directions;
    // S has at most `size` columns, no longer than the candidate's, and changes at most `size` times.
    this.#margin = 1e-9 + 8 * Number.EPSILON * size * (size + (columns?.vector.length ?? 0));
    this.#rests = new Float64Array(size);
    for (let i = 0; i < size; i++) {
      let rest = diagonal[i];
      for (let k = i * count; k < (i + 1) * count; k++) rest -= coordinates[k] * coordinates[k];
      this.#rests[i] = this.#inflated(rest, diagonal[i]);
    }
    this.#members = new Int32Array(size);
    this.#bases = new Float64Array(size);
    this.#versions = new Int32Array(size);
    this.#places = new PlaceEstimates(size, count);
    this.#open = new Int32Array(size);
    this.#asked = new Int32Array(size);
    block.begin(members);
    for (const member of members) this.#append(member);
    for (let place = 0; place < this.#count; place++) this.#open[place] = place;
    this.#refresh(this.#count);
  }

  /** The members, in no order. */
  members(): number[] {
    return Array.from(this.#members.subarray(0, this.#count)).filter(
      (_, place) => this.#places.estimates[place] !== Number.POSITIVE_INFINITY,
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
    const { count, coordinates } = this.#directions;
    this.#bestPlace = -1;
    this.#places.lower(this.#count, coordinates, candidate * count, this.#rests[candidate]);
    const { lowered, found } = this.#places;
    const places = this.#places.atMost(this.#count, own);
    if (places === 0) return;
    // The score at the least bound, which leaves less to compute.
    const open = this.#open;
    open[0] = found[0];
    for (let at = 1; at < places; at++) if (lowered[found[at]] < lowered[open[0]]) open[0] = found[at];
    this.#refresh(1);
    const score = this.#bases[open[0]] - 2 * this.#block.entry(this.#members[open[0]], candidate);
    const limit = Math.min(own, score);
    let stale = 0;
    for (let at = 0; at < places; at++) {
      const place = found[at];
      if (lowered[place] <= limit && this.#versions[place] !== this.#version) open[stale++] = place;
    }
    this.#refresh(stale);
    let asked = 0;
    for (let at = 0; at < places; at++) {
      const place = found[at];
      if (lowered[place] > limit) continue;
      this.#asked[asked] = this.#members[place];
      open[asked++] = place;
    }
    const entries = this.#block.entries(this.#asked, asked, candidate);
    let best = own;
    let bestIndex = candidate;
    for (let at = 0; at < asked; at++) {
      const score = this.#bases[open[at]] - 2 * entries[at];
      if (score < best || (score === best && this.#asked[at] < bestIndex)) {
        best = score;
        bestIndex = this.#asked[at];
        this.#bestPlace = open[at];
      }
    }
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
    this.#places.estimates[place] = Number.POSITIVE_INFINITY;
    // Takes from the estimates what S has moved along the directions, and at most has moved beside them.
    this.#places.move(this.#count, change, this.#inflated(rest, squares));
    this.#append(candidate);
    this.#open[0] = this.#count - 1;
    this.#refresh(1);
  }

  #append(member: number): void {
    const place = this.#count++;
    const { count, coordinates } = this.#directions;
    this.#members[place] = member;
    this.#places.set(place, coordinates, member * count, this.#rests[member]);
  }

  /** Computes the bases of the first `open` open places; what has been lowered moves with them. */
  #refresh(open: number): void {
    const { estimates, lowered } = this.#places;
    for (let at = 0; at < open; at++) this.#asked[at] = this.#members[this.#open[at]];
    const products = this.#block.products(this.#asked, open);
    for (let at = 0; at < open; at++) {
      const place = this.#open[at];
      const base = this.#block.diagonal[this.#asked[at]] - 2 * products[at];
      lowered[place] += base - estimates[place];
      this.#bases[place] = base;
      this.#versions[place] = this.#version;
      estimates[place] = base;
    }
  }

  /** Length of a vector with this square, which was computed from terms of the size of `scale`. */
  #inflated(square: number, scale: number): number {
    return Math.sqrt(Math.max(0, square) + this.#margin * scale);
  }
}
