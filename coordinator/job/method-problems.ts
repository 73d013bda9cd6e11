// Which settings go with which method: one rule for flags, campaigns and stored jobs.
import { type GradualFlag, type GradualSettings, gradualWords } from '../gradual-settings.ts';
import type { Damping, Method } from '../prune-settings.ts';

export interface MethodProblem {
  readonly name: 'damping' | 'fisher-group' | GradualFlag;
  readonly text: string;
}

/** What is wrong with settings that are another method's alone. @param given null, or absent: left to the method. */
export function methodProblems(
  method: Method,
  given: {
    readonly damping: Damping | null;
    readonly fisherGroup: number | null;
    readonly gradual: Partial<GradualSettings>;
  },
): MethodProblem[] {
  if (method !== 'gradual')
    return gradualWords(given.gradual).map(([name, value]) => ({
      name,
      text: `got ${value} with the method ${method}, which prunes once; expected the method gradual, or no ${name}`,
    }));
  const problems: MethodProblem[] = [];
  if (given.damping !== null)
    problems.push({
      name: 'damping',
      text: `got ${given.damping} with the method gradual, which tunes no scales; expected the method paper, or no damping`,
    });
  if (given.fisherGroup !== null)
    problems.push({
      name: 'fisher-group',
      text: `got ${given.fisherGroup} with the method gradual, which takes each sample's gradient alone; expected the method paper, or no group`,
    });
  return problems;
}
