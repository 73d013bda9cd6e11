// vocab.txt, the vocabulary of BERT checkpoints from before tokenizer.json: one token a line, its id the line's index.
import { EspalierError } from '../shared/errors.ts';
import type { JsonObject } from '../shared/json-object.ts';
import type { TokenizerJson } from './tokenizer-files.ts';

const SPECIAL_TOKENS = {
  pad_token: '[PAD]',
  unk_token: '[UNK]',
  cls_token: '[CLS]',
  sep_token: '[SEP]',
  mask_token: '[MASK]',
} as const;

/** Builds the tokenizer.json that BertTokenizerFast makes of the text of a vocab.txt and its tokenizer_config.json.
 * @throws EspalierError "tokenizer_format" when a special token that every input needs is missing. */
export function wordPieceJson(path: string, text: string, settings: JsonObject): TokenizerJson {
  const lines = text.replace(/\r?\n$/, '').split(/\r?\n/);
  const vocabulary = Object.fromEntries(lines.map((token, id) => [token, id]));
  const name = (key: keyof typeof SPECIAL_TOKENS): string => {
    const value = settings[key];
    if (typeof value === 'string') return value;
    const content = typeof value === 'object' && value !== null ? (value as JsonObject).content : undefined;
    return typeof content === 'string' ? content : SPECIAL_TOKENS[key];
  };
  for (const key of ['unk_token', 'cls_token', 'sep_token'] as const)
    if (!Object.hasOwn(vocabulary, name(key)))
      throw new EspalierError(
        'tokenizer_format',
        `${path}: got ${lines.length} tokens without ${name(key)}, expected one token a line`,
      );
  const special = (Object.keys(SPECIAL_TOKENS) as (keyof typeof SPECIAL_TOKENS)[]).map(name);
  const [cls, sep] = [name('cls_token'), name('sep_token')];
  const piece = (token: string, type: number) => ({ SpecialToken: { id: token, type_id: type } });
  const first = { Sequence: { id: 'A', type_id: 0 } };
  const second = { Sequence: { id: 'B', type_id: 1 } };
  return {
    version: '1.0',
    added_tokens: special
      .filter((token) => Object.hasOwn(vocabulary, token))
      .map((content) => ({ id: vocabulary[content], content, special: true, normalized: false })),
    normalizer: {
      type: 'BertNormalizer',
      clean_text: true,
      handle_chinese_chars: settings.tokenize_chinese_chars !== false,
      strip_accents: typeof settings.strip_accents === 'boolean' ? settings.strip_accents : null,
      lowercase: settings.do_lower_case !== false,
    },
    pre_tokenizer: { type: 'BertPreTokenizer' },
    post_processor: {
      type: 'TemplateProcessing',
      single: [piece(cls, 0), first, piece(sep, 0)],
      pair: [piece(cls, 0), first, piece(sep, 0), second, piece(sep, 1)],
      special_tokens: {},
    },
    decoder: { type: 'WordPiece', prefix: '##', cleanup: true },
    model: {
      type: 'WordPiece',
      unk_token: name('unk_token'),
      continuing_subword_prefix: '##',
      max_input_chars_per_word: 100,
      vocab: vocabulary,
    },
  };
}
