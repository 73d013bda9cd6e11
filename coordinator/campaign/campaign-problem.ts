// What is wrong with a campaign: one entry a mistake, told with its place, as many as there is room for.
import { type ErrorCode, EspalierError, type Problem } from '../../shared/errors.ts';

/** Its path leads from the campaign as a whole. */
export type CampaignProblem = Problem;

export interface LocatedProblem extends CampaignProblem {
  /** In the campaign's file, from 1. */
  readonly line: number;
}

/** A mistake in the form of a campaign. */
export function wrong(path: readonly (string | number)[], text: string): CampaignProblem {
  return { code: 'campaign_format', path, text };
}

/** As many as a terminal or an error is asked to hold. */
export const MOST_PROBLEMS = 100;
const LONGEST_VALUE = 60;

/** ['jobs', 3, 'model'] → "jobs[3].model". */
export function pathText(path: readonly (string | number)[]): string {
  const text = path.map((part) => (typeof part === 'number' ? `[${part}]` : `.${shortened(part)}`)).join('');
  return text.replace(/^\./, '');
}

/** A value as messages show it: JSON, cut where it is long. */
export function valueText(value: unknown): string {
  if (value === null || value === undefined) return 'nothing';
  if (Array.isArray(value)) return `a list of ${value.length}`;
  if (typeof value === 'object') return 'keys with values';
  return typeof value === 'string' ? `"${shortened(value)}"` : String(value);
}

/** One line: "jobs[3].model: [model_not_found] …". */
export function problemText({ path, code, text }: CampaignProblem): string {
  return `${path.length === 0 ? '' : `${pathText(path)}: `}[${code}] ${text}`;
}

/** In the order of the file. */
export function locatedProblems(
  problems: readonly CampaignProblem[],
  lineOf: (path: CampaignProblem['path']) => number,
): readonly LocatedProblem[] {
  return problems.map((problem) => ({ ...problem, line: lineOf(problem.path) })).sort((a, b) => a.line - b.line);
}

/** The code that all problems share, else "campaign_format". */
export function sharedCode(problems: readonly CampaignProblem[]): ErrorCode {
  const [first] = problems;
  const isShared = first !== undefined && problems.every(({ code }) => code === first.code);
  return isShared ? first.code : 'campaign_format';
}

/** For a client, which knows the lines of its file. @throws EspalierError with all problems, if there are any: as a list, and in
 * its message for clients that know of no list. */
export function throwProblems(problems: readonly CampaignProblem[]): void {
  if (problems.length === 0) return;
  const told = problems.slice(0, MOST_PROBLEMS).map(problemText);
  if (problems.length > told.length) told.push(`and ${problems.length - told.length} more`);
  throw new EspalierError(sharedCode(problems), `campaign: ${told.join('; ')}`, {
    action: 'correct the campaign',
    list: { problems: problems.slice(0, MOST_PROBLEMS), count: problems.length },
  });
}

function shortened(text: string): string {
  const plain = text.replace(/[\p{Cc}\p{Cf}]/gu, '?');
  return plain.length > LONGEST_VALUE ? `${plain.slice(0, LONGEST_VALUE)}…` : plain;
}
