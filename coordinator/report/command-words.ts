// The command line that asks `espalier prune` for what a job was asked, whoever asked it: what a user can repeat.

import path from 'node:path';
import { COLUMN_FLAGS } from '../../dataset/columns.ts';
import { gradualSettings, gradualWords } from '../gradual-settings.ts';
import type { Budget, BudgetKind, ColumnSettings, PruneRequest } from '../prune-settings.ts';

/** What a command line calls the inputs. */
export interface InputNames {
  readonly model: string;
  readonly data: string;
  readonly evaluation: string | null;
  /** The table of times that was given, and whether it was said to be of another machine; absent: none. */
  readonly latencyTable?: string;
  readonly otherMachine?: boolean;
}

/** Folder that the command line writes to; what the first run called its own is nobody's business. */
const OUT = 'pruned';
const DTYPES = { F32: 'float32', F16: 'float16', BF16: 'bfloat16' } as const;

/** Words of each setting; none where it is what the command takes by itself. The compiler asks for every setting. */
const WORDS: {
  readonly [Name in keyof Required<Omit<PruneRequest, keyof InputNames>>]: (
    value: Required<PruneRequest>[Name],
  ) => readonly string[];
} = {
  budgets: (budgets) =>
    ([undefined, 'latency', 'latency-ms', 'max-drop'] as const).flatMap((kind) => budgetWords(budgets, kind)),
  maxDropConfidence: (confidence) => ['--max-drop-confidence', String(confidence)],
  fastest: (isOn) => (isOn ? ['--fastest'] : []),
  seed: (seed) => ['--seed', String(seed)],
  samples: (samples) => ['--samples', String(samples)],
  replacement: (isOn) => (isOn ? ['--replacement'] : []),
  fisherGroup: (samples) => optional('--fisher-group', samples),
  labels: (labels) => ['--labels', labels],
  method: (method) => ['--method', method],
  damping: (damping) => ['--damping', damping],
  gradual: (changes) => gradualWords(gradualSettings(changes)).flatMap(([flag, value]) => [`--${flag}`, value]),
  search: (search) => (search === 'uniform' ? ['--uniform'] : ['--search', search]),
  neuronMultiple: (multiple) => ['--neuron-multiple', String(multiple)],
  macsLength: (tokens) => optional('--macs-length', tokens),
  maxLength: (tokens) => optional('--max-length', tokens),
  stride: (tokens) => ['--stride', String(tokens)],
  metric: (metric) => optional('--metric', metric),
  timing: ({ runtime, batchSizes, lengths, threads }) => [
    ...['--runtime', runtime],
    ...optional('--batch-size', batchSizes.length > 0 ? batchSizes.join(',') : null),
    ...optional('--length', lengths.length > 0 ? lengths.join(',') : null),
    ...optional('--threads', threads > 0 ? threads : null),
  ],
  dtype: (dtype) => optional('--dtype', dtype === null ? null : DTYPES[dtype]),
  onnx: (dtype) => optional('--onnx', dtype === null ? null : DTYPES[dtype]),
  columns: (columns) =>
    (Object.keys(COLUMN_FLAGS) as (keyof ColumnSettings)[]).flatMap((name) =>
      optional(COLUMN_FLAGS[name], columns[name] ?? null),
    ),
};

function budgetWords(budgets: readonly Budget[], kind: BudgetKind | undefined): readonly string[] {
  // The text of a kind has its name or its unit around the number.
  const numbers = budgets.filter((budget) => budget.kind === kind).map(({ text }) => text.replace(/[^\d.]/g, ''));
  return numbers.length === 0 ? [] : [`--${kind ?? 'budget'}`, numbers.join(',')];
}

function optional(flag: string, value: string | number | null): readonly string[] {
  return value === null ? [] : [flag, String(value)];
}

/** Words after the program's name. All that a result depends on is there, with what was left to the command spelt out. */
export function commandWords(request: PruneRequest, names: InputNames): string[] {
  const asked = (Object.keys(WORDS) as (keyof typeof WORDS)[]).filter(
    // Either method refuses to be told what is the other's alone.
    (name) => name !== (request.method === 'gradual' ? 'damping' : 'gradual'),
  );
  const settings = asked.flatMap((name) => wordsOf({ ...request, gradual: request.gradual ?? {} }, name));
  const evaluation = names.evaluation === null ? [] : ['--eval', names.evaluation];
  const table = [
    ...optional('--latency-table', names.latencyTable ?? null),
    ...(names.otherMachine ? ['--other-machine'] : []),
  ];
  return ['prune', names.model, '--data', names.data, ...evaluation, ...settings, ...table, '--out', OUT];
}

function wordsOf<Name extends keyof typeof WORDS>(request: PruneRequest, name: Name): readonly string[] {
  // The compiler does not see that these are of one type.
  const value = request[name] as Required<PruneRequest>[Name] | undefined;
  return value === undefined ? [] : WORDS[name](value);
}

/** The name of an input in what others will read: as the user wrote it, without the folders of this machine. */
export function inputName(written: string): string {
  const plain = path.posix.normalize(written);
  const isOwn = path.isAbsolute(plain) || plain.startsWith('..') || plain === '.';
  const name = isOwn ? path.basename(path.resolve(written)) : plain.replace(/\/$/, '');
  // A word that begins with a dash would be read as a flag.
  return name.startsWith('-') ? `./${name}` : name;
}

/** Words as one line for a POSIX shell. */
export function shellLine(words: readonly string[]): string {
  return words
    .map((word) => (/^[A-Za-z0-9_@%+=:,./-]+$/.test(word) ? word : `'${word.replaceAll("'", "'\\''")}'`))
    .join(' ');
}

/** The whole command for a shell, a line a flag. */
export function commandLines(words: readonly string[]): string {
  const start = words.findIndex((word) => word.startsWith('--'));
  const lines = [['npx', 'espalier', ...words.slice(0, start < 0 ? words.length : start)]];
  for (const word of words.slice(lines[0].length - 2)) {
    if (word.startsWith('--')) lines.push([word]);
    else lines[lines.length - 1].push(word);
  }
  return lines.map(shellLine).join(' \\\n  ');
}
