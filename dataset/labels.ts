// Turns the label column of a row into what the loss compares with, by task. A label that does not fit the model is an
// error that names file, line and column, what was got and what the model has.
import type { ModelConfig } from '../checkpoint/model-config.ts';
import { EspalierError } from '../shared/errors.ts';
import type { Row } from './read-rows.ts';

/** Where a label stands, for messages. */
export interface LabelPlace {
  readonly path: string;
  readonly column: string;
  readonly config: ModelConfig;
}

/** Class ids, [1] a row: an id, or a name of config.labels; names are tried first.
 * @throws EspalierError "data_label" */
export function classTargets(place: LabelPlace, rows: readonly Row[]): Float32Array[] {
  return rows.map((row) => Float32Array.of(classId(place, row, row.values[place.column])));
}

/** 0 or 1 by class, [outputs] a row, from lists of ids or names. Lists are read as 0/1 vectors where every list of the
 * file has one 0 or 1 for each class.
 * @throws EspalierError "data_label" */
export function multiLabelTargets(place: LabelPlace, rows: readonly Row[]): Float32Array[] {
  const { outputs } = place.config;
  const lists = rows.map((row) => {
    const value = row.values[place.column];
    const list = parseList(value);
    if (!list) throw labelError(place, row, value, `a list of labels: ${classNames(place.config)}`);
    return list;
  });
  if (lists.every((list) => list.length === outputs && list.every((entry) => entry === 0 || entry === 1)))
    return lists.map((list) => Float32Array.from(list as number[]));
  return lists.map((list, i) => {
    const target = new Float32Array(outputs);
    for (const entry of list) {
      const id = classId(place, rows[i], entry);
      if (target[id] === 1)
        throw labelError(place, rows[i], list, `each label once, or one 0 or 1 for each of ${outputs} labels`);
      target[id] = 1;
    }
    return target;
  });
}

/** Numbers, [outputs] a row.
 * @throws EspalierError "data_label" */
export function regressionTargets(place: LabelPlace, rows: readonly Row[]): Float32Array[] {
  const { outputs } = place.config;
  return rows.map((row) => {
    const value = row.values[place.column];
    const entries = outputs === 1 && !Array.isArray(value) ? [value] : (parseList(value) ?? [value]);
    const numbers = entries.map(finiteNumber);
    if (numbers.length !== outputs || numbers.includes(null))
      throw labelError(place, row, value, outputs === 1 ? 'a finite number' : `${outputs} finite numbers`);
    return Float32Array.from(numbers as number[]);
  });
}

/** Class ids of words, [words of the row] a row, from lists of ids or names.
 * @param wordCounts [rows]: words that each row has.
 * @throws EspalierError "data_label" */
export function wordTargets(place: LabelPlace, rows: readonly Row[], wordCounts: readonly number[]): Int32Array[] {
  return rows.map((row, i) => {
    const value = row.values[place.column];
    const list = parseList(value);
    if (!list) throw labelError(place, row, value, 'a list with a label for each word');
    if (list.length !== wordCounts[i])
      throw new EspalierError(
        'data_label',
        `${place.path}:${row.line}: ${place.column}: got ${list.length} labels for ${wordCounts[i]} words`,
        { action: 'give each word one label' },
      );
    return Int32Array.from(list, (entry) => classId(place, row, entry));
  });
}

/** True where a row says that it has no label: no value, an empty one, or the -1 of GLUE's test files. */
export function isUnlabelled(value: unknown): boolean {
  return value === undefined || value === null || value === '' || value === -1 || value === '-1';
}

/** A list as JSON has it, or as the text of a CSV cell that holds JSON; null for anything else. */
export function parseList(value: unknown): unknown[] | null {
  if (Array.isArray(value)) return value;
  if (typeof value !== 'string' || !value.trimStart().startsWith('[')) return null;
  try {
    const parsed: unknown = JSON.parse(value);
    return Array.isArray(parsed) ? parsed : null;
  } catch {
    return null;
  }
}

function classId(place: LabelPlace, row: Row, value: unknown): number {
  const { labels, outputs } = place.config;
  if (typeof value === 'string') {
    const named = labels.indexOf(value);
    if (named >= 0) return named;
  }
  // A CSV that pandas wrote has 1.0 for 1.
  const id = typeof value === 'string' && /^\d+(\.0+)?$/.test(value) ? Number(value) : value;
  if (typeof id === 'number' && Number.isInteger(id) && id >= 0 && id < outputs) return id;
  throw labelError(place, row, value, classNames(place.config));
}

function finiteNumber(value: unknown): number | null {
  const number = typeof value === 'string' && value.trim() !== '' ? Number(value) : value;
  return typeof number === 'number' && Number.isFinite(number) ? number : null;
}

const SHOWN_NAMES = 12;

function classNames({ labels, outputs }: ModelConfig): string {
  const range = `class 0 to ${outputs - 1}`;
  if (labels.length === 0 || labels.every((name, i) => name === `LABEL_${i}`)) return range;
  return `${range} or ${labels.slice(0, SHOWN_NAMES).join(', ')}${labels.length > SHOWN_NAMES ? ', …' : ''}`;
}

function labelError(place: LabelPlace, row: Row, value: unknown, expected: string): EspalierError {
  return new EspalierError(
    'data_label',
    `${place.path}:${row.line}: ${place.column}: got ${describe(value)}, expected ${expected}`,
  );
}

/** A value as a message shows it. */
export function describe(value: unknown): string {
  if (value === undefined) return 'nothing';
  const text = JSON.stringify(value);
  return text.length > 60 ? `${text.slice(0, 60)}…` : text;
}
