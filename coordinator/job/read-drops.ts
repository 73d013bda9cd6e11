// What a model may lose, as users write it: decimal fractions of the metric, each of which becomes a budget of its own kind.
import type { Budget } from '../prune-settings.ts';
import { decimalName, readDecimal } from './decimal-text.ts';
import type { BudgetProblem } from './read-budgets.ts';

/** Range of `--max-drop-confidence`. */
export const CONFIDENCE = { min: 0.5, max: 0.99 };

/** Reads the allowed drops of one job and notes everything that is wrong with them. */
export function readDrops(texts: readonly string[]): { budgets: Budget[]; problems: BudgetProblem[] } {
  const drops: Budget[] = [];
  const problems: BudgetProblem[] = [];
  for (const [position, untrimmed] of texts.entries()) {
    const text = untrimmed.trim();
    const value = readDecimal(text);
    const problem = (told: string, code: BudgetProblem['code'] = 'usage') =>
      problems.push({ position, text: told, code });
    if (Number.isNaN(value))
      problem(`got ${text === '' ? 'nothing' : text}, expected a decimal fraction of the metric such as 0.01`);
    else if (!(value > 0 && value < 1))
      problem(`got ${text}, expected more than 0 and less than 1`, 'budget_out_of_range');
    else if (drops.some((drop) => drop.value === value)) problem(`got ${text} twice, expected distinct drops`);
    else drops.push({ text: `max-drop-${decimalName(text)}`, value, kind: 'max-drop' });
  }
  return { budgets: drops, problems };
}
