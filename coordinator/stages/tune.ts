// Stage "tune": the scales of every sub-layer in order, each on the student that the ones before have made.

import type { Masks } from '../../pruning/masks.ts';
import { addSumsTo, type ScaleSums, sumsFromTensors, sumsToTensors } from '../../pruning/normal-equations.ts';
import { type KeptSubLayer, keptSubLayers, type SubLayerPlace, withScales } from '../../pruning/sub-layers.ts';
import type { TuningSettings } from '../../pruning/tuning.ts';
import { EspalierError } from '../../shared/errors.ts';
import type { SumSource } from '../../shared/rpc/generated/espalier/v1/SumSource.ts';
import { type JobContext, TASK_DEADLINE_MS } from '../job/job-context.ts';
import { type LadderReport, readLadderReport } from '../job/ladder-report.ts';
import { maskSet } from '../job/mask-set.ts';
import { blobRef } from '../job/model-blobs.ts';
import { resultTensor } from '../job/result-tensor.ts';
import type { TuningReport } from '../prune-report.ts';
import type { TaskResult, TaskSpec } from '../workers/task-spec.ts';
import { foldedSums, type NodeOfShare, SOLVE_AFFINITY, type SumKind } from './fold-sums.ts';
import { storeInTurns } from './store-in-turns.ts';
import { mostChained, runChain } from './task-chain.ts';
import { ONE_BY_ONE, type TaskPace } from './task-pace.ts';

/** The scales found so far, with what is told of them. */
export interface TuningProgress {
  readonly masks: Masks;
  readonly reports: readonly TuningReport[];
}

export interface TuneInput {
  readonly teacher: Masks;
  readonly student: Masks;
  readonly settings: TuningSettings;
  /** What an earlier run had finished; null: from the start. */
  readonly resumed: TuningProgress | null;
  /** How many sub-layers a task of a worker that is alone solves; left out: one. */
  readonly pace?: TaskPace;
}

/** Sub-layers that can be tuned, in order: the published method leaves out layer 0's attention; one where nothing is
 * kept has nothing to tune. */
export function tunableSteps(masks: Masks): KeptSubLayer[] {
  return keptSubLayers(masks).filter(
    ({ layer, subLayer, kept }) => kept.length > 0 && !(layer === 0 && subLayer === 'attention'),
  );
}

const SCALE_SUMS: SumKind<ScaleSums> = { read: sumsFromTensors, add: addSumsTo, write: sumsToTensors };

export interface TuneObserver {
  /** Stores what there is. One call at a time, while the next sub-layers are being solved; the last call holds all. */
  store(progress: TuningProgress): Promise<void>;
  /** A sub-layer is solved. */
  progress?(done: number): void;
}

/** Tunes all sub-layers; see `storeInTurns` for what it returns before. */
export function runTune(context: JobContext, input: TuneInput, observer: TuneObserver): Promise<TuningProgress> {
  const { store, progress = () => {} } = observer;
  const tell = ({ reports }: TuningProgress) => progress(reports.length);
  return storeInTurns(context.behind, { store, tell }, (onSolved) => solveAll(context, input, onSolved));
}

async function solveAll(
  context: JobContext,
  input: TuneInput,
  onSolved: (progress: TuningProgress, isLast: boolean) => void,
): Promise<TuningProgress> {
  let progress: TuningProgress = input.resumed ?? { masks: input.student, reports: [] };
  const { pace = ONE_BY_ONE } = input;
  const steps = tunableSteps(input.student);
  const take = (step: KeptSubLayer, { scales, report }: Solved) => {
    const { layer, subLayer, kept } = step;
    const masks = withScales(progress.masks, step, scales);
    const largestScale = scales.reduce((largest, scale) => Math.max(largest, Math.abs(scale)), 0);
    const { rung, heldOutBefore, heldOutAfter, tried } = report;
    const own = { layer, subLayer, kept: kept.length, rung, heldOutBefore, heldOutAfter, largestScale, tried };
    progress = { masks, reports: [...progress.reports, own] };
    onSolved(progress, progress.reports.length === steps.length);
  };
  while (progress.reports.length < steps.length) {
    const [begunAt, startMs] = [progress.reports.length, performance.now()];
    const [first, ...next] = steps.slice(begunAt, begunAt + mostChained(context.workers, pace));
    if (next.length > 0) await tuneChain(context, input, progress.masks, [first, ...next], take);
    else take(first, await tuneSubLayer(context, input, progress.masks, first));
    pace.took(performance.now() - startMs, progress.reports.length - begunAt);
  }
  return progress;
}

/** Scales of a sub-layer as a worker tells them. */
interface Solved {
  readonly scales: Float64Array;
  readonly report: LadderReport;
}

/** What tasks of a sub-layer are asked. */
function tuningRequest({ calibration, model }: JobContext, input: TuneInput, student: Masks, place: SubLayerPlace) {
  const { plan, blob } = calibration;
  // The published solution fits everything and judges nothing.
  const fitEnd = input.settings.damping === 'reference' ? plan.shards.length : plan.fitShards;
  const fitted = { first: 0, end: fitEnd };
  const judging = { first: fitEnd, end: plan.shards.length };
  const { layer, subLayer } = place;
  return {
    name: `${layer}.${subLayer}`,
    common: {
      ...{ model: model.ref, plan: blobRef(blob), teacher: maskSet(input.teacher), student: maskSet(student) },
      ...{ layer, subLayer },
    },
    blobs: [...model.blobs, blob],
    spans: judging.end > judging.first ? [fitted, judging] : [fitted],
    settingsJson: JSON.stringify(input.settings),
  };
}

async function tuneSubLayer(
  context: JobContext,
  input: TuneInput,
  student: Masks,
  step: KeptSubLayer,
): Promise<Solved> {
  const { workers, signal } = context;
  const { name, common, blobs, spans, settingsJson } = tuningRequest(context, input, student, step);
  // One worker holds the whole tree and solves in place; of several, each sums its nodes and one solves.
  const spread = workers.tuningSpread ?? workers.count;
  const task = ({ shards, stays, affinity }: NodeOfShare): TaskSpec => ({
    id: `normal-equations/${name}/${shards.first}-${shards.end}`,
    blobs,
    request: { normalEquations: { ...common, shards, stays } },
    affinity,
    deadlineMs: TASK_DEADLINE_MS,
  });
  const nodeBytes = sumBytes(step.kept.length);
  const sums = spread > 1 ? await foldedSums(context, { spans, spread, nodeBytes, kind: SCALE_SUMS, task }) : null;
  const [fit, heldOut = null] = sums?.sources ?? spans.map((shards): SumSource => ({ shards }));
  const id = `solve/${name}`;
  let result: TaskResult;
  try {
    [result] = await workers.runTasks(
      [
        {
          id,
          blobs: [...blobs, ...(sums?.blobs ?? [])],
          request: { solve: { ...common, fit, heldOut, settingsJson } },
          affinity: SOLVE_AFFINITY,
          deadlineMs: TASK_DEADLINE_MS,
        },
      ],
      { signal },
    );
  } finally {
    sums?.share?.release();
  }
  return readSolved(id, step, result);
}

/** Two sub-layers or more in one task. */
function tuneChain(
  context: JobContext,
  input: TuneInput,
  student: Masks,
  steps: readonly KeptSubLayer[],
  take: (step: KeptSubLayer, solved: Solved) => void,
): Promise<void> {
  const [first, ...next] = steps;
  const { name, common, blobs, spans, settingsJson } = tuningRequest(context, input, student, first);
  const [fit, heldOut = null] = spans.map((shards): SumSource => ({ shards }));
  const id = `solve/${name}+${next.length}`;
  return runChain<Solved>(context, {
    task: {
      id,
      blobs,
      request: {
        solve: {
          ...{ ...common, fit, heldOut, settingsJson },
          next: next.map(({ layer, subLayer }) => ({ layer, subLayer })),
        },
      },
      affinity: SOLVE_AFFINITY,
      deadlineMs: TASK_DEADLINE_MS,
    },
    count: steps.length,
    fields: [['scales', 'F64']],
    read: (at, result) => readSolved(id, steps[at], result),
    take: (at, solved) => take(steps[at], solved),
  });
}

function readSolved(id: string, { kept }: KeptSubLayer, result: TaskResult): Solved {
  const scales = resultTensor(result, id, 'scales', { dtype: 'F64', length: kept.length });
  if (!scales.every((scale) => Number.isFinite(Math.fround(scale))))
    throw new EspalierError('not_finite', `${id}: got a scale that no float32 holds`);
  return { scales, report: readLadderReport(id, result.get('report')?.data) };
}

/** Bytes of what a normal_equations task returns at the most of a sub-layer that keeps so many heads or neurons. */
function sumBytes(kept: number): number {
  return Float64Array.BYTES_PER_ELEMENT * (kept ** 2 + 2 * kept + 3);
}
