// Turns text into the token ids that the model was trained on. Ids are always the library's own for the whole text;
// character offsets, which the library does not give, are worked out afterwards (align-pieces.ts) and never change ids.
import type { ModelConfig } from '../checkpoint/model-config.ts';
import { EspalierError } from '../shared/errors.ts';
import { type AlignmentRules, alignPieces } from './align-pieces.ts';
import { createLibraryTokenizer, type LibraryTokenizer } from './library-tokenizer.ts';
import { RecentlyUsed } from './recently-used.ts';
import { readTokenizerFiles, type TokenizerJson, tokenizerTexts } from './tokenizer-files.ts';
import { truncatePair } from './truncate-pair.ts';

/** The tokens of one text without special tokens, and the characters that each came from. */
export interface TextPieces {
  /** [pieces] */
  readonly tokenIds: Int32Array;
  /** [pieces]: index of the first UTF-16 unit of the text; spaces before a word are not part of its piece. */
  readonly starts: Int32Array;
  /** [pieces]: index after the last UTF-16 unit; equal to the start for a piece that stands for a space alone. */
  readonly ends: Int32Array;
}

/** A model input with its special tokens. */
export interface JoinedText {
  /** [tokens] */
  readonly tokenIds: Int32Array;
  /** [tokens]: 0 or 1 by the template; all 0 where the model has fewer than two token types. */
  readonly typeIds: Uint8Array;
  /** Position of the first text's first token. */
  readonly firstStart: number;
  /** Position of the second text's first token; -1 without a second text. */
  readonly secondStart: number;
}

export interface EncodedText {
  readonly tokenIds: Int32Array;
  readonly typeIds: Uint8Array;
  /** True where tokens were cut off to fit. */
  readonly truncated: boolean;
}

/** One place of the post-processor's template: a special token's id, or where a text goes. */
interface TemplateItem {
  readonly item: number | 'first' | 'second';
  readonly typeId: number;
}

// SQuAD asks several questions of one paragraph, so paragraphs come again soon.
const CACHED_TEXTS = 4096;
const FIRST = '\u0000first';
const SECOND = '\u0000second';

/** The one that was read last: the jobs of a campaign share a model, and reading a vocabulary takes as long as encoding a thousand
 * texts. */
let latest: { readonly key: string; readonly tokenizer: TextTokenizer } | null = null;

/** Reads the tokenizer of a model folder, or gives the one of the last call where the files hold the same.
 * @throws EspalierError "model_not_found" without one, "tokenizer_format" when it cannot be used with this model. */
export async function loadTextTokenizer(modelDirectory: string, config: ModelConfig): Promise<TextTokenizer> {
  const key = JSON.stringify([await tokenizerTexts(modelDirectory), config]);
  if (latest?.key === key) return latest.tokenizer;
  const json = await readTokenizerFiles(modelDirectory, config);
  try {
    const tokenizer = new TextTokenizer(json, config);
    latest = { key, tokenizer };
    return tokenizer;
  } catch (error) {
    if (error instanceof EspalierError) throw error;
    throw new EspalierError('tokenizer_format', `${modelDirectory}: ${(error as Error).message}`, { cause: error });
  }
}

export class TextTokenizer {
  /** Special tokens around one text, and around a pair. */
  readonly singleSpecials: number;
  readonly pairSpecials: number;
  readonly #library: LibraryTokenizer;
  readonly #rules: AlignmentRules;
  readonly #single: readonly TemplateItem[];
  readonly #pair: readonly TemplateItem[];
  readonly #pieces = new RecentlyUsed<string, TextPieces>(CACHED_TEXTS);

  constructor(json: TokenizerJson, config: ModelConfig) {
    this.#library = createLibraryTokenizer(json);
    this.#rules = alignmentRules(this.#library, json);
    // RoBERTa's family never uses the second token type, whatever the library's template says.
    const typed = config.typeVocabularySize > 1 && (config.modelType === 'bert' || config.modelType === 'distilbert');
    this.#single = this.#template([FIRST], null, typed);
    this.#pair = this.#template([FIRST], [SECOND], typed);
    this.singleSpecials = this.#single.length - 1;
    this.pairSpecials = this.#pair.length - 2;
  }

  /** Encodes one text or a pair, cut to `maxTokens` longest first, special tokens included. */
  encode(text: string, pair: string | null, maxTokens: number): EncodedText {
    const first = this.tokenIds(text);
    if (pair === null) {
      const kept = Math.min(first.length, Math.max(0, maxTokens - this.singleSpecials));
      const joined = this.join(first.subarray(0, kept), null);
      return { tokenIds: joined.tokenIds, typeIds: joined.typeIds, truncated: kept < first.length };
    }
    const second = this.tokenIds(pair);
    const kept = truncatePair(first.length, second.length, Math.max(0, maxTokens - this.pairSpecials));
    const joined = this.join(first.subarray(0, kept.first), second.subarray(0, kept.second));
    const truncated = kept.first < first.length || kept.second < second.length;
    return { tokenIds: joined.tokenIds, typeIds: joined.typeIds, truncated };
  }

  /** Token ids [pieces] of a text without special tokens. */
  tokenIds(text: string): Int32Array {
    return checkedIds(text, this.#library.encode(text, { add_special_tokens: false }).ids);
  }

  /** Token ids [pieces] of one word of a text that comes in words, as transformers' is_split_into_words: a byte-level
   * word always stands after a space. */
  wordTokenIds(word: string): Int32Array {
    return this.tokenIds(this.#rules.byteLevel && !word.startsWith(' ') && word !== '' ? ` ${word}` : word);
  }

  /** The tokens of a text with the characters that they came from; remembered for texts that come again. */
  pieces(text: string): TextPieces {
    const known = this.#pieces.get(text);
    if (known) return known;
    const { ids, tokens } = this.#library.encode(text, { add_special_tokens: false });
    const pieces = { tokenIds: checkedIds(text, ids), ...alignPieces(text, tokens, this.#rules) };
    this.#pieces.set(text, pieces);
    return pieces;
  }

  /** Puts special tokens around ids: [CLS] first [SEP] second [SEP] and the like, by the tokenizer's own template. */
  join(first: Int32Array, second: Int32Array | null): JoinedText {
    const template = second === null ? this.#single : this.#pair;
    const specials = second === null ? this.singleSpecials : this.pairSpecials;
    const tokens = first.length + (second?.length ?? 0) + specials;
    const tokenIds = new Int32Array(tokens);
    const typeIds = new Uint8Array(tokens);
    const starts = { first: -1, second: -1 };
    let position = 0;
    for (const { item, typeId } of template) {
      const from = position;
      if (typeof item === 'number') tokenIds[position++] = item;
      else {
        const ids = item === 'first' ? first : (second as Int32Array);
        starts[item] = position;
        tokenIds.set(ids, position);
        position += ids.length;
      }
      typeIds.fill(typeId, from, position);
    }
    return { tokenIds, typeIds, firstStart: starts.first, secondStart: starts.second };
  }

  // The library runs its template over two marks, which shows where texts go. Its own encode cannot be used for pairs:
  // it takes an empty second text for none.
  #template(first: string[], second: string[] | null, typed: boolean): TemplateItem[] {
    const processor = this.#library.post_processor;
    const made = processor?.post_process(first, second, true) ?? { tokens: [...first, ...(second ?? [])] };
    const template = made.tokens.map((token, i): TemplateItem => {
      const typeId = typed ? (made.token_type_ids?.[i] ?? 0) : 0;
      if (token === FIRST || token === SECOND) return { item: token === FIRST ? 'first' : 'second', typeId };
      const id = this.#library.token_to_id(token);
      if (id === undefined)
        throw new EspalierError('tokenizer_format', `post_processor: got ${token}, which the vocabulary does not have`);
      return { item: id, typeId };
    });
    const texts = template.filter(({ item }) => typeof item === 'string').length;
    if (texts !== (second === null ? 1 : 2))
      throw new EspalierError('tokenizer_format', `post_processor: got ${texts} texts, expected each text once`);
    return template;
  }
}

// A vocabulary without an unknown token has no id for text that it cannot spell.
function checkedIds(text: string, ids: readonly (number | undefined)[]): Int32Array {
  if (ids.includes(undefined))
    throw new EspalierError(
      'tokenizer_format',
      `got no token for a part of ${JSON.stringify(text.slice(0, 60))}, expected an unknown token in the vocabulary`,
    );
  return Int32Array.from(ids as readonly number[]);
}

function alignmentRules(library: LibraryTokenizer, json: TokenizerJson): AlignmentRules {
  const { normalizer, pre_tokenizer: preTokenizer } = library;
  const wordPiece = json.model.type === 'WordPiece' || typeof json.model.continuing_subword_prefix === 'string';
  const prefix = json.model.continuing_subword_prefix;
  return {
    normalize: (text) => (normalizer === null ? text : normalizer.normalize(text)),
    words: (text) => (preTokenizer === null ? [text] : preTokenizer.pre_tokenize(text, {})),
    addedTokens: json.added_tokens.map(({ content }) => content),
    unknownToken: wordPiece && typeof json.model.unk_token === 'string' ? json.model.unk_token : null,
    continuation: wordPiece && typeof prefix === 'string' ? prefix : '',
    byteLevel: JSON.stringify(json.pre_tokenizer ?? {}).includes('"ByteLevel"'),
  };
}
