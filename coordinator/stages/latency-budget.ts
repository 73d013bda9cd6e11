// Budgets of time: the masks that keep most importance within a share of the dense model's time, by a measured table. A
// table adds up what whole models took; what a pruned one takes is measured before anything is made of it, and the table's
// scale corrected by it.
import type { Masks } from '../../pruning/masks.ts';
import { sharesFrom } from '../../pruning/smallest-share.ts';
import { type JobContext, storedStage } from '../job/job-context.ts';
import { goalShare, latencySearch } from '../job/latency-goal.ts';
import { spreadOf } from '../job/spread.ts';
import { timeModels } from '../job/time-models.ts';
import type { LatencyBudgetReport, LatencyRound } from '../prune-report.ts';
import type { Budget, PruneRequest } from '../prune-settings.ts';
import type { MaskSearch, Target } from './find-masks.ts';
import type { MeasuredSpeed } from './latency.ts';
import type { FoundTable, ProfileRequest } from './profile.ts';

/** A budget of time is met when the model takes neither more nor less by more than this. */
export const TOLERANCE = 0.05;
const MOST_ROUNDS = 4;
const REPEATS = 15;
const LEAST_SECONDS = 0.5;

export interface LatencyParts {
  readonly found: FoundTable;
  readonly request: ProfileRequest;
  readonly settings: Pick<PruneRequest, 'search' | 'neuronMultiple'>;
}

/** What a search by time found out; a target's share is in the table's seconds. */
export interface LatencyTarget {
  readonly target: Target;
  readonly rounds: readonly LatencyRound[];
}

/** Shares of the budgets of time, before any long work.
 * @throws EspalierError "budget_out_of_range". */
export function requireReachable(context: JobContext, budgets: readonly Budget[], parts: LatencyParts): void {
  const search = searchOf(context, parts);
  for (const budget of budgets) goalShare(budget, search);
}

/** The search by time, as the table says. */
export function timeSearch(context: JobContext, parts: LatencyParts): MaskSearch {
  const { masks } = searchOf(context, parts);
  return masks;
}

/** Shares that candidates for an allowed loss may have, of time as the table says. */
export function timeShares(context: JobContext, parts: LatencyParts): number[] {
  return sharesFrom(searchOf(context, parts).leastShare);
}

/** Masks that the job's method would prune to at a share of time. */
export type MasksAt = (share: number) => Masks | Promise<Masks>;

/** The target of a budget of time: searched, measured, and searched again with the table's scale corrected until the
 * measured time is within the tolerance or nothing better comes. Stored, so that a job that goes on keeps what it found. */
export async function latencyTarget(
  context: JobContext,
  masksAt: MasksAt,
  budget: Budget,
  stages: string,
  parts: LatencyParts,
): Promise<LatencyTarget> {
  const goal = goalShare(budget, searchOf(context, parts));
  const name = `${stages}/latency`;
  const { value } = await storedStage<{ readonly share: number; readonly rounds: readonly LatencyRound[] }>(
    context,
    'profile',
    {
      name,
      budget: budget.text,
      steps: MOST_ROUNDS,
      read: () => context.home.readJson(name),
      run: (progress) => correctedShare(context, masksAt, { goal, budget, parts }, progress),
      write: (found, seconds) => context.home.writeJson(name, { value: found, seconds }),
    },
  );
  return { target: { text: budget.text, cost: 'time', fraction: value.share, stages }, rounds: value.rounds };
}

async function correctedShare(
  context: JobContext,
  masksAt: MasksAt,
  { goal, budget, parts }: { readonly goal: number; readonly budget: Budget; readonly parts: LatencyParts },
  progress: (done: number) => void,
): Promise<{ share: number; rounds: LatencyRound[] }> {
  const { found, request } = parts;
  const search = searchOf(context, parts);
  // What another machine takes cannot be measured here: its table is taken at its word.
  if (found.table.device !== found.machine) return { share: goal, rounds: [] };
  const rounds: LatencyRound[] = [];
  const tried = new Map<number, LatencyRound>();
  for (let share = goal; rounds.length < MOST_ROUNDS; ) {
    const masks = await masksAt(share);
    const predicted = search.shareOf(masks);
    if (tried.has(predicted)) break;
    const round = { share, predicted, ...(await measured(context, masks, budget, request, rounds.length)) };
    rounds.push(round);
    tried.set(predicted, round);
    progress(rounds.length);
    if (Math.abs(round.byGoal - 1) <= TOLERANCE) break;
    // The scale by which the table is wrong here: measured time by predicted time.
    const scale = (round.byGoal * goal) / predicted;
    share = Math.min(1, Math.max(search.leastShare, goal / scale));
  }
  const best = rounds.reduce((a, b) => (Math.abs(Math.log(b.byGoal)) < Math.abs(Math.log(a.byGoal)) ? b : a));
  return { share: best.share, rounds };
}

async function measured(
  context: JobContext,
  masks: Masks,
  budget: Budget,
  request: ProfileRequest,
  round: number,
): Promise<Pick<LatencyRound, 'denseSeconds' | 'seconds' | 'byGoal'>> {
  const timing = { ...request, repeats: REPEATS, leastSeconds: LEAST_SECONDS };
  const id = `profile/${budget.text}/${round}`;
  const timed = await timeModels(context, id, { model: context.model, students: [null, masks] }, timing);
  const [denseSeconds, seconds] = timed.seconds.map((own) => spreadOf(own).median);
  return { denseSeconds, seconds, byGoal: byGoal(budget, denseSeconds, seconds) };
}

/** Measured time by what the budget allows. */
function byGoal({ kind, value }: Budget, denseSeconds: number, seconds: number): number {
  return kind === 'latency-ms' ? seconds / (value / 1000) : seconds / denseSeconds / value;
}

/** What a report tells of a budget of time. @param speed of the exported model. */
export function latencyBudgetReport(
  context: JobContext,
  budget: Budget,
  { target, rounds }: LatencyTarget,
  masks: Masks,
  parts: LatencyParts,
  speed: readonly MeasuredSpeed[],
): LatencyBudgetReport {
  const { found, request } = parts;
  const { runtime, batchSize, tokens } = request;
  const own = speed.find((one) => one.runtime === runtime && one.batchSize === batchSize && one.tokens === tokens);
  const { table } = found;
  const isTarget = table.device === found.machine;
  const measuredByGoal = own === undefined ? null : byGoal(budget, own.dense.median, own.pruned.median);
  return {
    kind: budget.kind === 'latency-ms' ? 'latency-ms' : 'latency',
    value: budget.value,
    ...{ runtime, batchSize, tokens, tolerance: TOLERANCE },
    table: {
      source: found.source,
      ...{ runtime: table.runtime, device: table.device, threads: table.threads },
      seconds: { attention: table.attentionSeconds, ffn: table.ffnSeconds, rest: table.restSeconds },
    },
    machine: found.machine,
    share: target.fraction,
    predictedShare: searchOf(context, parts).shareOf(masks),
    rounds,
    measuredByGoal,
    met: measuredByGoal === null || !isTarget ? null : Math.abs(measuredByGoal - 1) <= TOLERANCE,
  };
}

/** One line where a budget is not known to be met; null where it is. */
export function latencyVerdict(
  { measuredByGoal, met, runtime, batchSize, tokens, table, machine }: LatencyBudgetReport,
  text: string,
): string | null {
  const where = `in ${runtime} at ${batchSize} x ${tokens}`;
  if (met === true) return null;
  if (table.device !== machine)
    return `${text}: by the table of ${table.device}; what is measured here is of ${machine}`;
  if (measuredByGoal === null) return `${text}: the result was not measured ${where}`;
  const percent = `${Math.abs((measuredByGoal - 1) * 100).toFixed(1)} %`;
  const side = measuredByGoal > 1 ? 'more' : 'less';
  return `${text}: measured ${percent} ${side} than the budget ${where}, not within ${TOLERANCE * 100} %`;
}

function searchOf({ checkpoint }: JobContext, { found, settings }: LatencyParts) {
  return latencySearch(found.table, checkpoint.config, settings);
}
