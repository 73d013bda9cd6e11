// Which columns of a data file hold what: as the user said, or guessed from the names that public data sets use. A
// guess is made only where one reading is possible.
import type { TaskKind } from '../checkpoint/model-config.ts';
import { EspalierError } from '../shared/errors.ts';

/** Columns that the user named; a field left out is guessed. */
export interface ColumnSettings {
  readonly text?: string;
  readonly textPair?: string;
  readonly label?: string;
  readonly question?: string;
  readonly context?: string;
  readonly answers?: string;
}

/** Columns of a classification or regression file. */
export interface TextColumns {
  readonly text: string;
  /** null: one text a row. */
  readonly textPair: string | null;
  /** null: the file has no labels. */
  readonly label: string | null;
}

/** Columns of a token classification file: a list of words, and a list of one label a word. */
export interface WordColumns {
  readonly words: string;
  readonly label: string | null;
}

/** Columns of a question answering file in the shape of SQuAD. */
export interface QuestionColumns {
  readonly question: string;
  readonly context: string;
  readonly answers: AnswerColumns | null;
}

/** One column {text: [], answer_start: []}, or those two as columns of their own. */
export type AnswerColumns =
  | { readonly kind: 'one'; readonly answers: string }
  | { readonly kind: 'two'; readonly text: string; readonly start: string };

const PAIRS: readonly (readonly [string, string])[] = [
  ['sentence1', 'sentence2'],
  ['premise', 'hypothesis'],
  ['question1', 'question2'],
  ['text1', 'text2'],
  ['text_a', 'text_b'],
  ['text', 'text_pair'],
  ['question', 'sentence'],
  ['question', 'passage'],
  ['question', 'context'],
  ['query', 'passage'],
  ['#1 String', '#2 String'],
];
const TEXTS = ['sentence', 'text', 'review', 'content', 'tweet', 'document'];
const LABELS = ['label', 'labels', 'target', 'score', 'gold_label', 'similarity_score', 'is_duplicate', 'Quality'];
const WORDS = ['tokens', 'words'];
const WORD_LABELS = ['ner_tags', 'labels', 'tags', 'pos_tags', 'chunk_tags', 'ner', 'label'];
const QUESTIONS = ['question'];
const CONTEXTS = ['context', 'passage'];
const ANSWERS = ['answers', 'answer'];
const FLATTENED: readonly (readonly [string, string])[] = [
  ['answers.text', 'answers.answer_start'],
  ['answer_text', 'answer_start'],
];

/** What is looked for in a file, for messages. */
interface Found {
  readonly path: string;
  readonly columns: readonly string[];
}

/** @throws EspalierError "data_format" naming the columns found and the flag to give. */
export function textColumns(
  found: Found,
  settings: ColumnSettings,
  task: TaskKind,
  requireLabels: boolean,
): TextColumns {
  refuse(found, settings, task, ['question', 'context', 'answers']);
  const label = pick(found, settings.label, LABELS, 'label column', '--label-column', requireLabels);
  if (settings.text !== undefined || settings.textPair !== undefined) {
    if (settings.text === undefined)
      throw new EspalierError('data_format', `${found.path}: got a column for the second text but none for the first`, {
        action: 'add --text-column',
      });
    const text = named(found, settings.text, '--text-column');
    const textPair = settings.textPair === undefined ? null : named(found, settings.textPair, '--text-pair-column');
    return { text, textPair, label };
  }
  const pairs = PAIRS.filter((pair) => pair.every((name) => found.columns.includes(name)));
  const inPairs = new Set(pairs.flat());
  const texts = TEXTS.filter((name) => found.columns.includes(name) && !inPairs.has(name));
  if (pairs.length + texts.length === 1)
    return pairs.length === 1
      ? { text: pairs[0][0], textPair: pairs[0][1], label }
      : { text: texts[0], textPair: null, label };
  const candidates = [...pairs.map((pair) => pair.join(' and ')), ...texts];
  throw unclear(found, 'text', candidates, 'add --text-column, and --text-pair-column where there are two texts');
}

/** @throws EspalierError "data_format" naming the columns found and the flag to give. */
export function wordColumns(found: Found, settings: ColumnSettings, requireLabels: boolean): WordColumns {
  refuse(found, settings, 'token-classification', ['textPair', 'question', 'context', 'answers']);
  const words = pick(found, settings.text, WORDS, 'column of words', '--text-column', true) as string;
  return { words, label: pick(found, settings.label, WORD_LABELS, 'label column', '--label-column', requireLabels) };
}

/** @throws EspalierError "data_format" naming the columns found and the flag to give. */
export function questionColumns(found: Found, settings: ColumnSettings, requireLabels: boolean): QuestionColumns {
  refuse(found, settings, 'question-answering', ['text', 'textPair', 'label']);
  const question = pick(found, settings.question, QUESTIONS, 'question', '--question-column', true) as string;
  const context = pick(found, settings.context, CONTEXTS, 'context', '--context-column', true) as string;
  if (settings.answers === undefined) {
    const flattened = FLATTENED.find((pair) => pair.every((name) => found.columns.includes(name)));
    if (flattened && !ANSWERS.some((name) => found.columns.includes(name)))
      return { question, context, answers: { kind: 'two', text: flattened[0], start: flattened[1] } };
  }
  const answers = pick(found, settings.answers, ANSWERS, 'answers', '--answers-column', requireLabels);
  return { question, context, answers: answers === null ? null : { kind: 'one', answers } };
}

function pick(
  found: Found,
  setting: string | undefined,
  usual: readonly string[],
  what: string,
  flag: string,
  required: boolean,
): string | null {
  if (setting !== undefined) return named(found, setting, flag);
  const candidates = usual.filter((name) => found.columns.includes(name));
  if (candidates.length === 1) return candidates[0];
  if (!required) return null;
  throw unclear(found, what, candidates, `add ${flag}`);
}

function named(found: Found, name: string, flag: string): string {
  if (found.columns.includes(name)) return name;
  throw new EspalierError('data_format', `${found.path}: got no column "${name}" in ${list(found.columns)}`, {
    action: `give ${flag} a column that the file has`,
  });
}

function unclear(found: Found, what: string, candidates: readonly string[], action: string): EspalierError {
  const message =
    candidates.length === 0
      ? `got no ${what} that is known by its name in ${list(found.columns)}`
      : `got more than one possible ${what}: ${candidates.join(', ')}`;
  return new EspalierError('data_format', `${found.path}: ${message}`, { action });
}

/** Flags of the command line that name columns. */
export const COLUMN_FLAGS: Readonly<Record<keyof ColumnSettings, string>> = {
  text: '--text-column',
  textPair: '--text-pair-column',
  label: '--label-column',
  question: '--question-column',
  context: '--context-column',
  answers: '--answers-column',
};

function refuse(
  found: Found,
  settings: ColumnSettings,
  task: TaskKind,
  unused: readonly (keyof ColumnSettings)[],
): void {
  for (const key of unused)
    if (settings[key] !== undefined)
      throw new EspalierError('data_format', `${found.path}: got ${COLUMN_FLAGS[key]}, which ${task} does not use`, {
        action: `leave ${COLUMN_FLAGS[key]} out`,
      });
}

function list(columns: readonly string[]): string {
  return `columns ${columns.join(', ')}`;
}
