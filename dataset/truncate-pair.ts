// How much of two texts is kept when they do not fit together.

/** Tokens kept of each text by the "longest first" truncation of Hugging Face's fast tokenizers: the longer text is cut
 * to the shorter one's length before the shorter is touched; an odd rest goes to the longer.
 * @param room tokens for both texts, special tokens already taken off. */
export function truncatePair(first: number, second: number, room: number): { first: number; second: number } {
  if (first + second <= room) return { first, second };
  const shorter = Math.min(first, second);
  let keptShorter = shorter;
  let keptLonger = shorter > room ? shorter : Math.max(shorter, room - shorter);
  if (keptShorter + keptLonger > room) {
    keptShorter = Math.floor(room / 2);
    keptLonger = room - keptShorter;
  }
  return first > second ? { first: keptLonger, second: keptShorter } : { first: keptShorter, second: keptLonger };
}
