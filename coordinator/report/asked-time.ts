// How pages and model cards tell what a budget of time asked for. Apart from the charts: a card needs none, and what draws
// them takes half a second to load.
import type { LatencyBudgetReport } from '../prune-report.ts';
import { showMilliseconds, showShare } from './figures.ts';

/** Where the table came from, and whether it could be checked. */
export function tableSource({ table, machine }: LatencyBudgetReport): string {
  const from = {
    given: 'The table was read from a file that was given',
    cached: 'The table was kept from an earlier run',
    measured: 'The table was measured in this job',
  }[table.source];
  const of = `${from}: ${table.runtime} on ${table.device}`;
  return table.device === machine
    ? `${of}, the machine that measured.`
    : `${of}. It was taken at its word, as what was measured is of ${machine}.`;
}

/** A multiple of what was asked for, in the unit of the asking. */
export function shownTime({ kind, value }: LatencyBudgetReport, byGoal: number): string {
  return kind === 'latency-ms' ? showMilliseconds((byGoal * value) / 1000) : showShare(byGoal * value);
}
