// Reads the tokenizer of a model folder into the one form that the tokenizer library takes: the JSON of tokenizer.json,
// complete, with the settings of tokenizer_config.json applied where transformers applies them. What is returned has
// passed the check that every token id fits the model's embedding table.
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { ModelConfig } from '../checkpoint/model-config.ts';
import { EspalierError } from '../shared/errors.ts';
import { isJsonObject, type JsonObject } from '../shared/json-object.ts';
import { wordPieceJson } from './vocabulary-text.ts';

/** tokenizer.json as far as it is looked at here; the library checks the rest. */
export interface TokenizerJson extends JsonObject {
  added_tokens: { id: number; content: string; [key: string]: unknown }[];
  normalizer: JsonObject | null;
  pre_tokenizer: JsonObject | null;
  post_processor: JsonObject | null;
  decoder: JsonObject | null;
  model: JsonObject;
}

/** All that `readTokenizerFiles` may read, as it lies there; null: not there, or not to be read, which that tells of where it matters. */
export function tokenizerTexts(modelDirectory: string): Promise<(string | null)[]> {
  const names = ['tokenizer_config.json', 'tokenizer.json', 'vocab.txt'];
  return Promise.all(names.map((name) => readText(join(modelDirectory, name)).catch(() => null)));
}

/** Reads tokenizer.json, or vocab.txt for BERT and DistilBERT. Truncation and padding settings in the file are ignored.
 * @throws EspalierError "model_not_found" without either file, "tokenizer_format" when one cannot be used. */
export async function readTokenizerFiles(modelDirectory: string, config: ModelConfig): Promise<TokenizerJson> {
  const path = join(modelDirectory, 'tokenizer.json');
  const settings = (await readJson(join(modelDirectory, 'tokenizer_config.json'))) ?? {};
  const read = await readJson(path);
  if (read !== null) {
    const json = completeJson(path, read);
    applySettings(json, settings);
    checkIds(path, json, config.vocabularySize);
    return json;
  }
  const vocabularyPath = join(modelDirectory, 'vocab.txt');
  const lines =
    config.modelType === 'bert' || config.modelType === 'distilbert' ? await readText(vocabularyPath) : null;
  if (lines === null)
    throw new EspalierError('model_not_found', `${path}: not found`, {
      action: 'save the tokenizer into the model folder with save_pretrained',
    });
  const json = wordPieceJson(vocabularyPath, lines, settings);
  checkIds(vocabularyPath, json, config.vocabularySize);
  return json;
}

async function readText(path: string): Promise<string | null> {
  try {
    return await readFile(path, 'utf8');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return null;
    throw error;
  }
}

async function readJson(path: string): Promise<JsonObject | null> {
  const text = await readText(path);
  if (text === null) return null;
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (error) {
    throw new EspalierError('tokenizer_format', `${path}: ${(error as Error).message}`, { cause: error });
  }
  if (!isJsonObject(value)) throw new EspalierError('tokenizer_format', `${path}: got no JSON object`);
  return value;
}

function completeJson(path: string, json: JsonObject): TokenizerJson {
  const model = json.model;
  if (!isJsonObject(model) || typeof model.vocab !== 'object' || model.vocab === null)
    throw new EspalierError('tokenizer_format', `${path}: got no vocabulary, expected model.vocab`);
  const part = (name: string): JsonObject | null => (isJsonObject(json[name]) ? json[name] : null);
  const added = Array.isArray(json.added_tokens) ? (json.added_tokens as TokenizerJson['added_tokens']) : [];
  for (const token of added)
    if (!isJsonObject(token) || typeof token.content !== 'string' || !Number.isInteger(token.id))
      throw new EspalierError(
        'tokenizer_format',
        `${path}: added_tokens: got ${JSON.stringify(token)}, expected id and content`,
      );
  return {
    ...json,
    model,
    added_tokens: added,
    normalizer: part('normalizer'),
    pre_tokenizer: part('pre_tokenizer'),
    post_processor: part('post_processor'),
    decoder: part('decoder'),
  };
}

/** transformers lets these settings of tokenizer_config.json win over tokenizer.json. */
function applySettings(json: TokenizerJson, settings: JsonObject): void {
  const { normalizer, pre_tokenizer: preTokenizer } = json;
  if (normalizer?.type === 'BertNormalizer')
    json.normalizer = {
      ...normalizer,
      ...(typeof settings.do_lower_case === 'boolean' ? { lowercase: settings.do_lower_case } : {}),
      ...(typeof settings.strip_accents === 'boolean' ? { strip_accents: settings.strip_accents } : {}),
      ...(typeof settings.tokenize_chinese_chars === 'boolean'
        ? { handle_chinese_chars: settings.tokenize_chinese_chars }
        : {}),
    };
  if (preTokenizer?.type === 'ByteLevel' && typeof settings.add_prefix_space === 'boolean')
    json.pre_tokenizer = { ...preTokenizer, add_prefix_space: settings.add_prefix_space };
  // Older files say add_prefix_space where the library knows only prepend_scheme.
  if (preTokenizer?.type === 'Metaspace' && preTokenizer.add_prefix_space === false && !preTokenizer.prepend_scheme)
    json.pre_tokenizer = { ...preTokenizer, prepend_scheme: 'never' };
}

function checkIds(path: string, json: TokenizerJson, vocabularySize: number): void {
  const vocabulary = json.model.vocab;
  let highest = -1;
  if (Array.isArray(vocabulary)) highest = vocabulary.length - 1;
  else for (const id of Object.values(vocabulary as JsonObject)) highest = Math.max(highest, Number(id));
  for (const token of json.added_tokens) highest = Math.max(highest, token.id);
  if (!(highest < vocabularySize))
    throw new EspalierError(
      'tokenizer_format',
      `${path}: got token id ${highest}, expected ids below ${vocabularySize} (vocab_size of config.json)`,
      { action: 'use the tokenizer that belongs to this model' },
    );
}
