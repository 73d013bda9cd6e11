// Budgets of time as users write them: a share of the dense model's time, or milliseconds.
import type { Budget } from '../prune-settings.ts';
import { decimalName, readDecimal } from './decimal-text.ts';
import type { BudgetProblem } from './read-budgets.ts';

type LatencyKind = 'latency' | 'latency-ms';

/** Longest that a budget may be: an hour. */
const MOST_MS = 3_600_000;

/** True for a budget of time. */
export function isLatencyBudget({ kind }: Pick<Budget, 'kind'>): boolean {
  return kind === 'latency' || kind === 'latency-ms';
}

/** Text of such a budget, which names the folder of its result: "latency-0.6", "latency-12ms". */
function textOf(kind: LatencyKind, number: string): string {
  return `latency-${decimalName(number)}${kind === 'latency-ms' ? 'ms' : ''}`;
}

/** Reads the budgets of one kind and notes everything that is wrong with them. */
export function readLatencyBudgets(
  kind: LatencyKind,
  texts: readonly string[],
): { budgets: Budget[]; problems: BudgetProblem[] } {
  const budgets: Budget[] = [];
  const problems: BudgetProblem[] = [];
  for (const [position, untrimmed] of texts.entries()) {
    const written = untrimmed.trim();
    const value = readDecimal(written);
    const problem = (text: string, code: BudgetProblem['code'] = 'usage') => problems.push({ position, text, code });
    const got = `got ${written || 'nothing'}`;
    const same = budgets.find((budget) => budget.value === value);
    if (Number.isNaN(value)) problem(`${got}, expected a decimal number such as ${kind === 'latency' ? '0.6' : '12'}`);
    else if (kind === 'latency' && !(value > 0 && value < 1))
      problem(`${got}, expected more than 0 and less than 1, a share of the dense model's time`, 'budget_out_of_range');
    else if (kind === 'latency-ms' && !(value > 0 && value <= MOST_MS))
      problem(`${got}, expected more than 0 milliseconds and at most ${MOST_MS}`, 'budget_out_of_range');
    else if (same !== undefined) problem(`${got} twice, expected distinct budgets`);
    else budgets.push({ kind, text: textOf(kind, written), value });
  }
  return { budgets, problems };
}

/** What is wrong with a budget of time that was stored, or null. */
export function latencyBudgetProblem({ kind, text, value }: Budget): string | null {
  const isMs = kind === 'latency-ms';
  const number = /^latency-(\d+(?:\.\d*)?)(ms)?$/.exec(text);
  const isRight = number !== null && Number(number[1]) === value && (number[2] === 'ms') === isMs;
  if (isRight && value > 0 && (isMs ? value <= MOST_MS : value < 1)) return null;
  return `got ${text}, expected ${isMs ? 'latency-, milliseconds and ms' : 'latency- and a decimal fraction in (0, 1)'}`;
}
