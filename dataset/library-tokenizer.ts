// The part of @huggingface/tokenizers that is used, typed here: the package's own declarations import files without
// their extensions, which TypeScript's nodenext resolution takes for missing, so that everything would be `any`.
import { Tokenizer } from '@huggingface/tokenizers';
import type { TokenizerJson } from './tokenizer-files.ts';

export interface LibraryTokenizer {
  readonly normalizer: { normalize(text: string): string } | null;
  readonly pre_tokenizer: { pre_tokenize(text: string, options: object): string[] } | null;
  readonly post_processor: {
    post_process(
      tokens: readonly string[],
      pair: readonly string[] | null,
      addSpecialTokens: boolean,
    ): { tokens: string[]; token_type_ids?: number[] };
  } | null;
  encode(
    text: string,
    options: { add_special_tokens: boolean },
  ): { readonly ids: readonly (number | undefined)[]; readonly tokens: readonly string[] };
  token_to_id(token: string): number | undefined;
}

/** @throws Error when the library does not know a part of the tokenizer. */
export function createLibraryTokenizer(json: TokenizerJson): LibraryTokenizer {
  return new Tokenizer(json, {}) as LibraryTokenizer;
}
