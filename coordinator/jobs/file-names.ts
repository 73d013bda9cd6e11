// The closed lists of names that the files of a cluster's job may have: those that `checkpoint` and `dataset` read, and
// those of a pruned model's folder.
// A name that is not on it never becomes a path.
import { extname } from 'node:path';
import { EspalierError } from '../../shared/errors.ts';

export type FileKind = 'model' | 'data' | 'result';

const MODEL_FILES: ReadonlySet<string> = new Set([
  'config.json',
  'model.safetensors',
  'model.safetensors.index.json',
  'tokenizer.json',
  'tokenizer_config.json',
  'vocab.txt',
  'special_tokens_map.json',
  'added_tokens.json',
  'merges.txt',
  'vocab.json',
  'sentencepiece.bpe.model',
]);
/** Shards, as save_pretrained names them. */
const SHARD = /^model-[0-9]{5}-of-[0-9]{5}\.safetensors$/;
const DATA_EXTENSIONS = ['.jsonl', '.ndjson', '.json-lines', '.csv', '.tsv'];
const DATA_FILES: ReadonlySet<string> = new Set(DATA_EXTENSIONS.map((extension) => `data${extension}`));

/** What is written beside a pruned model. */
const RESULT_FILES: ReadonlySet<string> = new Set([
  'masks.json',
  'espalier_model.py',
  'report.json',
  'README.md',
  'model.onnx',
  'model.onnx.data',
]);

/** Files that a model or a data set may consist of; a model of that many shards is larger than any that can be pruned. */
export const MOST_FILES = 256;

/** Whether a file of this name belongs to a model, a data set or a pruned model as the cluster stores it. */
export function isFileName(kind: FileKind, name: string): boolean {
  if (kind === 'data') return DATA_FILES.has(name);
  return MODEL_FILES.has(name) || SHARD.test(name) || (kind === 'result' && RESULT_FILES.has(name));
}

/** Whether it holds weights, which workers read. */
export function isWeightFile(name: string): boolean {
  return name === 'model.safetensors' || SHARD.test(name);
}

/** Lets a name from outside through only when it is on the list. @throws EspalierError "campaign_format" otherwise. */
export function checkFileName(kind: FileKind, name: string): string {
  if (isFileName(kind, name)) return name;
  const models = [...MODEL_FILES, 'model-00001-of-00002.safetensors'];
  const expected = { data: [...DATA_FILES], model: models, result: [...models, ...RESULT_FILES] }[kind].join(', ');
  throw new EspalierError(
    'campaign_format',
    `${kind} file: got ${JSON.stringify(name.slice(0, 80))}, expected one of ${expected}`,
  );
}

/** The name under which the cluster stores a user's data file: "data" and the extension that tells its format.
 * @throws EspalierError "data_format" for any other extension. */
export function dataFileName(file: string): string {
  const name = `data${extname(file).toLowerCase()}`;
  if (DATA_FILES.has(name)) return name;
  throw new EspalierError(
    'data_format',
    `${file}: got extension "${extname(file)}", expected ${DATA_EXTENSIONS.join(', ')}`,
    { action: 'give a .jsonl, .csv or .tsv file' },
  );
}
