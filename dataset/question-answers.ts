// Gold answers of question answering, in the shape of SQuAD: every answer's text and where it starts in the context.
import { EspalierError } from '../shared/errors.ts';
import type { AnswerColumns } from './columns.ts';
import { describe, isUnlabelled, parseList } from './labels.ts';
import type { Row } from './read-rows.ts';

export interface GoldAnswer {
  readonly text: string;
  /** UTF-16 units of the context: start, and end (exclusive). */
  readonly start: number;
  readonly end: number;
}

/** The gold answers of a row; none where the question has no answer in the context (SQuAD 2).
 * @throws EspalierError "data_label" when the shape is another, or the text is not at its place in the context. */
export function goldAnswers(path: string, columns: AnswerColumns, row: Row, context: string): GoldAnswer[] {
  const place = `${path}:${row.line}: ${columns.kind === 'one' ? columns.answers : columns.start}`;
  const { texts, starts, got } = columns.kind === 'one' ? fromOne(columns.answers, row) : fromTwo(columns, row);
  if (!texts || !starts || texts.length !== starts.length)
    throw new EspalierError(
      'data_label',
      `${place}: got ${describe(got)}, expected {"text": [...], "answer_start": [...]} of one length`,
    );
  return texts.map((text, i) => {
    const start = Number(starts[i]);
    if (typeof text !== 'string' || isUnlabelled(starts[i]) || !Number.isInteger(start))
      throw new EspalierError(
        'data_label',
        `${place}: got ${describe(text)} at ${describe(starts[i])}, expected a text and the character that it starts at`,
      );
    const at = locate(context, text, start);
    if (at === null)
      throw new EspalierError(
        'data_label',
        `${place}: got ${describe(text)} at ${start}, where the context has ${describe(context.slice(start, start + text.length))}`,
        { action: 'correct answer_start' },
      );
    return { text, start: at, end: at + text.length };
  });
}

/** True where a row says nothing of answers, not even that there are none. */
export function hasNoAnswers(columns: AnswerColumns, row: Row): boolean {
  return isUnlabelled(row.values[columns.kind === 'one' ? columns.answers : columns.text]);
}

interface Columns {
  readonly texts: unknown[] | null;
  readonly starts: unknown[] | null;
  readonly got: unknown;
}

function fromOne(column: string, row: Row): Columns {
  let got = row.values[column];
  if (typeof got === 'string' && got.trimStart().startsWith('{')) {
    try {
      got = JSON.parse(got);
    } catch {
      return { texts: null, starts: null, got };
    }
  }
  if (typeof got !== 'object' || got === null || Array.isArray(got)) return { texts: null, starts: null, got };
  const { text, answer_start: start } = got as { text?: unknown; answer_start?: unknown };
  return { texts: listOf(text), starts: listOf(start), got };
}

function fromTwo(columns: { text: string; start: string }, row: Row): Columns {
  const got = { text: row.values[columns.text], answer_start: row.values[columns.start] };
  return { texts: listOf(got.text), starts: listOf(got.answer_start), got };
}

/** A list, or one value for a list of one. */
function listOf(value: unknown): unknown[] | null {
  const list = parseList(value);
  if (list) return list;
  return typeof value === 'string' || typeof value === 'number' ? [value] : null;
}

// Data sets count characters as Python does, by code points; where a context has characters outside the basic plane, a
// file that was made in JavaScript counts differently, and the text shows which.
function locate(context: string, text: string, start: number): number | null {
  if (start < 0) return null;
  let units = 0;
  for (let points = 0; points < start && units < context.length; points++)
    units += (context.codePointAt(units) as number) > 0xffff ? 2 : 1;
  for (const at of [units, start]) if (text !== '' && context.startsWith(text, at)) return at;
  return null;
}
