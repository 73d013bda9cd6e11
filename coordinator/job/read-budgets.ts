// Budgets as users write them: decimal fractions of the encoder's MACs, whose text names the folder of the result.
import type { Budget } from '../prune-settings.ts';
import { decimalName, readDecimal } from './decimal-text.ts';

export interface BudgetProblem {
  readonly code: 'usage' | 'budget_out_of_range';
  readonly text: string;
  /** Which of the texts. */
  readonly position: number;
}

/** A worker times at most 64 models in one task, the dense one among them. */
export const MOST_BUDGETS = 63;

/** Reads the budgets of one job and notes everything that is wrong with them. */
export function readBudgets(texts: readonly string[]): { budgets: Budget[]; problems: BudgetProblem[] } {
  const budgets: Budget[] = [];
  const problems: BudgetProblem[] = [];
  const problem = (position: number, text: string, code: BudgetProblem['code'] = 'usage') =>
    problems.push({ position, text, code });
  if (texts.length > MOST_BUDGETS) problem(0, `got ${texts.length} budgets, expected at most ${MOST_BUDGETS}`);
  for (const [position, untrimmed] of texts.entries()) {
    const text = untrimmed.trim();
    const value = readDecimal(text);
    const same = budgets.find((budget) => budget.value === value);
    if (Number.isNaN(value))
      problem(position, `got ${text === '' ? 'nothing' : text}, expected a decimal fraction such as 0.5`);
    else if (!(value > 0 && value < 1))
      problem(position, `got ${text}, expected more than 0 and less than 1`, 'budget_out_of_range');
    else if (same !== undefined) problem(position, `got ${same.text} and ${text}, expected distinct budgets`);
    else budgets.push({ text: decimalName(text), value });
  }
  return { budgets, problems };
}
