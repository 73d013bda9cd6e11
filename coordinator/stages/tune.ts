// Stage "tune": the scales of every sub-layer in order, each on the student that the ones before have made.

import type { Masks, SubLayer } from '../../pruning/masks.ts';
import { addSumsTo, type ScaleSums, sumsFromTensors, sumsToTensors } from '../../pruning/normal-equations.ts';
import { type KeptSubLayer, keptSubLayers } from '../../pruning/sub-layers.ts';
import type { TuningSettings } from '../../pruning/tuning.ts';
import { EspalierError } from '../../shared/errors.ts';
import type { MaskSet } from '../../shared/rpc/generated/espalier/v1/MaskSet.ts';
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
  const steps = tunableSteps(input.student);
  const teacher = maskSet(input.teacher);
  for (const { layer, subLayer, kept } of steps.slice(progress.reports.length)) {
    const student = progress.masks;
    const { scales, report } = await tuneSubLayer(context, input, { teacher, student }, layer, subLayer, kept.length);
    const masks = withScales(progress.masks, layer, subLayer, kept, scales);
    const largestScale = scales.reduce((largest, scale) => Math.max(largest, Math.abs(scale)), 0);
    const { rung, heldOutBefore, heldOutAfter, tried } = report;
    progress = {
      masks,
      reports: [
        ...progress.reports,
        { layer, subLayer, kept: kept.length, rung, heldOutBefore, heldOutAfter, largestScale, tried },
      ],
    };
    onSolved(progress, progress.reports.length === steps.length);
  }
  return progress;
}

async function tuneSubLayer(
  context: JobContext,
  input: TuneInput,
  masks: { readonly teacher: MaskSet; readonly student: Masks },
  layer: number,
  subLayer: SubLayer,
  kept: number,
): Promise<{ scales: Float64Array; report: LadderReport }> {
  const { calibration, model, workers, signal } = context;
  const { plan, blob } = calibration;
  const common = {
    model: model.ref,
    plan: blobRef(blob),
    teacher: masks.teacher,
    student: maskSet(masks.student),
    layer,
    subLayer,
  };
  const name = `${layer}.${subLayer}`;
  // The published solution fits everything and judges nothing.
  const fitEnd = input.settings.damping === 'reference' ? plan.shards.length : plan.fitShards;
  const fitted = { first: 0, end: fitEnd };
  const judging = { first: fitEnd, end: plan.shards.length };
  const spans = judging.end > judging.first ? [fitted, judging] : [fitted];

  // One worker holds the whole tree and solves in place; of several, each sums its nodes and one solves.
  const spread = workers.tuningSpread ?? workers.count;
  const task = ({ shards, stays, affinity }: NodeOfShare): TaskSpec => ({
    id: `normal-equations/${name}/${shards.first}-${shards.end}`,
    blobs: [...model.blobs, blob],
    request: { normalEquations: { ...common, shards, stays } },
    affinity,
    deadlineMs: TASK_DEADLINE_MS,
  });
  const sums =
    spread > 1 ? await foldedSums(context, { spans, spread, nodeBytes: sumBytes(kept), kind: SCALE_SUMS, task }) : null;
  const [fit, heldOut = null] = sums?.sources ?? spans.map((shards): SumSource => ({ shards }));
  let result: TaskResult;
  try {
    [result] = await workers.runTasks(
      [
        {
          id: `solve/${name}`,
          blobs: [...model.blobs, blob, ...(sums?.blobs ?? [])],
          request: {
            solve: {
              ...common,
              fit,
              heldOut,
              settingsJson: JSON.stringify(input.settings),
            },
          },
          affinity: SOLVE_AFFINITY,
          deadlineMs: TASK_DEADLINE_MS,
        },
      ],
      { signal },
    );
  } finally {
    sums?.share?.release();
  }
  const scales = resultTensor(result, `solve/${name}`, 'scales', { dtype: 'F64', length: kept });
  if (!scales.every((scale) => Number.isFinite(Math.fround(scale))))
    throw new EspalierError('not_finite', `solve/${name}: got a scale that no float32 holds`);
  return { scales, report: readLadderReport(`solve/${name}`, result.get('report')?.data) };
}

/** Bytes of what a normal_equations task returns at the most of a sub-layer that keeps so many heads or neurons. */
function sumBytes(kept: number): number {
  return Float64Array.BYTES_PER_ELEMENT * (kept ** 2 + 2 * kept + 3);
}

/** The masks with the scales of one sub-layer, in the order of `kept`. */
export function withScales(
  masks: Masks,
  layer: number,
  subLayer: SubLayer,
  kept: Int32Array,
  scales: ArrayLike<number>,
): Masks {
  const ffn = subLayer === 'ffn';
  const all = (ffn ? masks.neuronScales : masks.headScales).slice();
  const perLayer = ffn ? masks.neurons : masks.heads;
  kept.forEach((index, i) => {
    all[layer * perLayer + index] = scales[i];
  });
  return ffn ? { ...masks, neuronScales: all } : { ...masks, headScales: all };
}
