// Works out which characters of a text each of its tokens came from. A token's text is the normalised text's, so the
// original text is cut into clusters that are normalised one by one, and tokens and clusters are spelled out side by
// side, spaces left out on both sides. Clusters are single characters first; where normalising single characters does
// not spell the tokens (characters that combine), they grow to a character with its marks, then to words.

export interface AlignmentRules {
  readonly normalize: (text: string) => string;
  /** Splits a normalised text into words, as the model sees them. */
  readonly words: (text: string) => readonly string[];
  /** Tokens that are found in the text as they are, before it is normalised. */
  readonly addedTokens: readonly string[];
  /** Token that stands for a whole word; null where unknown tokens keep their text. */
  readonly unknownToken: string | null;
  /** What a token starts with that continues a word: "##". */
  readonly continuation: string;
  /** True where a token is spelled in the byte alphabet of GPT-2. */
  readonly byteLevel: boolean;
}

export interface PieceOffsets {
  readonly starts: Int32Array;
  readonly ends: Int32Array;
}

/** The normalised text in comparable units (UTF-16 units, or bytes), spaces left out, each with its origin. */
interface Spelling {
  readonly units: number[];
  readonly starts: number[];
  readonly ends: number[];
  /** The same as text, with spaces. */
  normalised: string;
  /** Units at which words end; null until an unknown word asks. */
  wordEnds: number[] | null;
}

// A base with its marks; Hangul letters of one syllable combine too.
const COMBINING = /[\u1100-\u11ff]+|\s+|\P{M}\p{M}*|\p{M}+/gu;
const WORDS = /\s+|\S+/gu;
const CLUSTERINGS: readonly ((text: string) => Iterable<string>)[] = [
  (text) => text,
  (text) => text.match(COMBINING) ?? [],
  (text) => text.match(WORDS) ?? [],
];
const FINAL_SIGMA = 0x3c2;
const SIGMA = 0x3c3;
const SEARCH_AHEAD = 64;

/** Characters of `text` that each of its tokens came from; text and tokens are not changed.
 * @param tokens what the library made of the whole text, special tokens left out.
 * @returns starts and ends [tokens] in UTF-16 units, both ascending. */
export function alignPieces(text: string, tokens: readonly string[], rules: AlignmentRules): PieceOffsets {
  for (const clusters of CLUSTERINGS) {
    const offsets = spellOut(text, tokens, rules, clusters);
    if (offsets) return offsets;
  }
  return search(text, tokens, rules);
}

function spellOut(
  text: string,
  tokens: readonly string[],
  rules: AlignmentRules,
  clusters: (text: string) => Iterable<string>,
): PieceOffsets | null {
  const starts = new Int32Array(tokens.length);
  const ends = new Int32Array(tokens.length);
  let token = 0;
  let offset = 0;
  for (const section of splitAddedTokens(text, rules.addedTokens)) {
    const sectionEnd = offset + section.length;
    if (tokens[token] === section && rules.addedTokens.includes(section)) {
      starts[token] = offset;
      ends[token++] = sectionEnd;
    } else {
      const spelling = spell(section, offset, rules, clusters);
      const { units } = spelling;
      let position = 0;
      for (; token < tokens.length; token++) {
        if (position === units.length && startsSection(tokens[token], rules)) break;
        const length = spelledLength(tokens[token], spelling, position, rules);
        if (length === null) return null;
        starts[token] = position < units.length ? spelling.starts[position] : sectionEnd;
        ends[token] = length === 0 ? starts[token] : spelling.ends[position + length - 1];
        position += length;
      }
      if (position !== units.length) return null;
    }
    offset = sectionEnd;
  }
  return token === tokens.length ? { starts, ends } : null;
}

/** Units that a token spells at a position; null where it does not. */
function spelledLength(token: string, spelling: Spelling, position: number, rules: AlignmentRules): number | null {
  if (token === rules.unknownToken) {
    spelling.wordEnds ??= wordEnds(spelling, rules);
    const end = spelling.wordEnds.find((wordEnd) => wordEnd > position);
    return end === undefined ? null : end - position;
  }
  const surface = tokenUnits(token, rules);
  const same = surface.every((unit, i) => sameUnit(spelling.units[position + i], unit));
  return same ? surface.length : null;
}

/** True for a token that cannot follow a section's last character: it belongs to the next section. */
function startsSection(token: string, rules: AlignmentRules): boolean {
  return token === rules.unknownToken || rules.addedTokens.includes(token);
}

function splitAddedTokens(text: string, addedTokens: readonly string[]): string[] {
  const found = addedTokens.filter((token) => token !== '' && text.includes(token));
  if (found.length === 0) return [text];
  const longestFirst = found.sort((a, b) => b.length - a.length);
  const pattern = longestFirst.map((token) => token.replace(/[.*+?^${}()|[\]\\]/g, '\\$&')).join('|');
  return text.split(new RegExp(`(${pattern})`)).filter((section) => section !== '');
}

interface NormalisedCluster {
  readonly normalised: string;
  readonly units: readonly number[];
}

// Texts are made of few different characters, and asking the library's normaliser is slow.
const singles = new WeakMap<AlignmentRules, Map<string, NormalisedCluster>>();

function spell(
  text: string,
  offset: number,
  rules: AlignmentRules,
  clusters: (text: string) => Iterable<string>,
): Spelling {
  const spelling: Spelling = { units: [], starts: [], ends: [], normalised: '', wordEnds: null };
  const known = singles.get(rules) ?? new Map<string, NormalisedCluster>();
  singles.set(rules, known);
  let start = offset;
  for (const cluster of clusters(text)) {
    const end = start + cluster.length;
    let entry = known.get(cluster);
    if (!entry) {
      const normalised = rules.normalize(cluster);
      entry = { normalised, units: rules.byteLevel ? byteUnits(normalised) : textUnits(normalised) };
      if (cluster.length <= 2) known.set(cluster, entry);
    }
    for (const unit of entry.units) {
      spelling.units.push(unit);
      spelling.starts.push(start);
      spelling.ends.push(end);
    }
    spelling.normalised += entry.normalised;
    start = end;
  }
  return spelling;
}

/** Indices of units at which words end. */
function wordEnds(spelling: Spelling, rules: AlignmentRules): number[] {
  let end = 0;
  return rules.words(spelling.normalised).map((word) => {
    end += textUnits(word).length;
    return end;
  });
}

function tokenUnits(token: string, rules: AlignmentRules): number[] {
  if (rules.byteLevel) return byteAlphabetUnits(token);
  const { continuation } = rules;
  const continues = continuation !== '' && token.length > continuation.length && token.startsWith(continuation);
  return textUnits(continues ? token.slice(continuation.length) : token);
}

function textUnits(text: string): number[] {
  const units: number[] = [];
  for (let i = 0; i < text.length; i++) {
    const unit = text.charCodeAt(i);
    if (unit === 0x2581 || (unit <= 0x20 && /\s/.test(text[i])) || (unit > 0x7f && /\s/.test(text[i]))) continue;
    units.push(unit);
  }
  return units;
}

const utf8 = new TextEncoder();

function byteUnits(text: string): number[] {
  return Array.from(utf8.encode(text)).filter((byte) => byte !== 0x20);
}

// GPT-2 writes a byte as the character of that code where it is printable, else as the next unused one from 256 on.
const BYTE_OF_CHARACTER: ReadonlyMap<number, number> = (() => {
  const printable = (byte: number) => (byte >= 33 && byte <= 126) || (byte >= 161 && byte <= 172) || byte >= 174;
  let next = 256;
  return new Map(Array.from({ length: 256 }, (_, byte) => [printable(byte) ? byte : next++, byte]));
})();

function byteAlphabetUnits(token: string): number[] {
  const units: number[] = [];
  for (let i = 0; i < token.length; i++) {
    const byte = BYTE_OF_CHARACTER.get(token.charCodeAt(i)) ?? -1;
    if (byte !== 0x20) units.push(byte);
  }
  return units;
}

// Lower-casing a whole text writes a sigma at a word's end differently from a sigma alone.
function sameUnit(a: number | undefined, b: number): boolean {
  return a === b || (a === SIGMA && b === FINAL_SIGMA) || (a === FINAL_SIGMA && b === SIGMA);
}

/** The last resort, for normalisers that rewrite text: each token is looked for a little ahead of the one before it and
 * has no characters where it is not found. */
function search(text: string, tokens: readonly string[], rules: AlignmentRules): PieceOffsets {
  const starts = new Int32Array(tokens.length);
  const ends = new Int32Array(tokens.length);
  const lower = text.toLowerCase();
  const where = lower.length === text.length ? lower : text;
  let position = 0;
  tokens.forEach((token, i) => {
    const units = tokenUnits(token, rules);
    const surface = rules.byteLevel
      ? Buffer.from(units.map((unit) => Math.max(unit, 0))).toString('utf8')
      : String.fromCharCode(...units);
    const wanted = where === lower ? surface.toLowerCase() : surface;
    const found = wanted === '' ? -1 : where.indexOf(wanted, position);
    const near = found >= 0 && found <= position + SEARCH_AHEAD;
    starts[i] = near ? found : position;
    ends[i] = near ? found + wanted.length : position;
    position = ends[i];
  });
  return { starts, ends };
}
