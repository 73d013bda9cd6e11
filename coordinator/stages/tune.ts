// Stage "tune": the scales of every sub-layer in order, each on the student that the ones before have made.

import { setImmediate as nextTurn } from 'node:timers/promises';
import { cutTree, foldCutAsync, type ShardSpan } from '../../pruning/fold-tree.ts';
import { keptIndices, type Masks, type SubLayer } from '../../pruning/masks.ts';
import { addSumsTo, type ScaleSums, sumsFromTensors, sumsToTensors } from '../../pruning/normal-equations.ts';
import type { ScaleSolution, TuningSettings } from '../../pruning/tuning.ts';
import { type BlobSource, blobOfParts } from '../../shared/blobs/blob-source.ts';
import { EspalierError } from '../../shared/errors.ts';
import type { MaskSet } from '../../shared/rpc/generated/espalier/v1/MaskSet.ts';
import type { NormalEquationsTask } from '../../shared/rpc/generated/espalier/v1/NormalEquationsTask.ts';
import type { SumSource } from '../../shared/rpc/generated/espalier/v1/SumSource.ts';
import { safetensorsParts } from '../../shared/safetensors.ts';
import type { TensorData } from '../../shared/tensor.ts';
import { type JobContext, TASK_DEADLINE_MS } from '../job/job-context.ts';
import { maskSet } from '../job/mask-set.ts';
import type { MemoryShare } from '../job/memory-room.ts';
import { blobRef } from '../job/model-blobs.ts';
import { resultTensor } from '../job/result-tensor.ts';
import type { TuningReport } from '../prune-report.ts';
import type { TaskResult, TaskSpec } from '../workers/task-spec.ts';

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

/** Nodes of the plan's tree that each worker gets of the fitted shards: more even the load, fewer save transfers. */
const NODES_PER_WORKER = 2;

/** Sub-layers that can be tuned, in order: the published method leaves out layer 0's attention; one where nothing is
 * kept has nothing to tune. */
export function tunableSteps(masks: Masks): { layer: number; subLayer: SubLayer; kept: Int32Array }[] {
  return Array.from({ length: masks.layers }, (_, layer) => [
    { layer, subLayer: 'attention' as const, kept: keptIndices(masks.headMask, layer, masks.heads) },
    { layer, subLayer: 'ffn' as const, kept: keptIndices(masks.neuronMask, layer, masks.neurons) },
  ])
    .flat()
    .filter(({ layer, subLayer, kept }) => kept.length > 0 && !(layer === 0 && subLayer === 'attention'));
}

/** What is found within this time after something was stored is stored together: on a GPU a sub-layer takes less than storing
 * it does. */
const STORE_MS = 200;

export interface TuneObserver {
  /** Stores what there is. One call at a time, while the next sub-layers are being solved; the last call holds all. */
  store(progress: TuningProgress): Promise<void>;
  /** A sub-layer is solved. */
  progress?(done: number): void;
}

/** Tunes all sub-layers. Returns, or throws, when no call of `store` goes on any more. */
export async function runTune(context: JobContext, input: TuneInput, observer: TuneObserver): Promise<TuningProgress> {
  let storing: Promise<void> = Promise.resolve();
  let storedMs = Number.NEGATIVE_INFINITY;
  try {
    const progress = await solveAll(context, input, async (solved, isLast) => {
      const tell = () => observer.progress?.(solved.reports.length);
      if (!isLast && performance.now() - storedMs < STORE_MS) return tell();
      await storing;
      storedMs = performance.now();
      // What is told to be done is stored, where it is stored at all.
      storing = observer.store(solved).then(tell);
      // Told by the next one that waits for it.
      storing.catch(() => {});
    });
    await storing;
    return progress;
  } finally {
    await storing.catch(() => {});
  }
}

async function solveAll(
  context: JobContext,
  input: TuneInput,
  onSolved: (progress: TuningProgress, isLast: boolean) => Promise<void>,
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
    await onSolved(progress, progress.reports.length === steps.length);
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
): Promise<{ scales: Float64Array; report: SolveReport }> {
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
  const sums =
    spread > 1 ? await foldedSums(context, { name, common, spans, spread, nodeBytes: sumBytes(kept) }) : null;
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
          affinity: 'solve',
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
  return { scales, report: readSolveReport(`solve/${name}`, result.get('report')?.data) };
}

interface FoldedSums {
  /** Of each span. */
  readonly sources: SumSource[];
  readonly blobs: BlobSource[];
  /** Memory that the blobs take; whoever asked for them releases it. */
  readonly share: MemoryShare | undefined;
}

/** Sums of the spans, made by several workers and folded here. */
async function foldedSums(
  context: JobContext,
  options: {
    readonly name: string;
    readonly common: Omit<NormalEquationsTask, 'shards'>;
    readonly spans: readonly ShardSpan[];
    readonly spread: number;
    readonly nodeBytes: number;
  },
): Promise<FoldedSums> {
  const { name, common, spans, spread, nodeBytes } = options;
  const { calibration, model, workers, signal, mostSumBytes } = context;
  const least = nodeBytes * spans.length;
  const most = Math.min(mostSumBytes, least * spread * NODES_PER_WORKER);
  const share = await context.memory?.take({ least, most }, signal);
  try {
    const nodes = Math.max(1, Math.floor((share?.bytes ?? most) / least));
    const cuts = spans.map(({ first, end }) => cutTree(first, end, nodes));
    const tasks = cuts.flat().map(
      (node): TaskSpec => ({
        id: `normal-equations/${name}/${node.first}-${node.end}`,
        blobs: [...model.blobs, calibration.blob],
        request: { normalEquations: { ...common, shards: node } },
        affinity: `${node.first}-${node.end}`,
        deadlineMs: TASK_DEADLINE_MS,
      }),
    );
    const results = await workers.runTasks(tasks, { signal });
    const sources: SumSource[] = [];
    const blobs: BlobSource[] = [];
    for (const cut of cuts) {
      const sums: ScaleSums[] = [];
      for (const result of results.splice(0, cut.length)) sums.push(await inTurn(() => sumsFromTensors(result)));
      const folded = await foldCutAsync(cut, sums, (a, b) => inTurn(() => addSumsTo(a, b)));
      const source = await inTurn(() => blobOfParts(safetensorsParts(sumsToTensors(folded))));
      blobs.push(source);
      sources.push({ sums: blobRef(source) });
    }
    share?.shrink(least);
    return { sources, blobs, share };
  } catch (caught) {
    share?.release();
    throw caught;
  }
}

/** Bytes of what a normal_equations task returns at the most of a sub-layer that keeps so many heads or neurons. */
function sumBytes(kept: number): number {
  return Float64Array.BYTES_PER_ELEMENT * (kept ** 2 + 2 * kept + 3);
}

/** Computes in a turn of the loop of its own: sums of a large sub-layer take a tenth of a second each. */
async function inTurn<T>(compute: () => T): Promise<T> {
  await nextTurn();
  return compute();
}

type SolveReport = Omit<ScaleSolution, 'scales'>;

// It goes into the user's report: what has another form is refused here, not told.
function readSolveReport(task: string, bytes: TensorData | undefined): SolveReport {
  const refuse = (got: string, cause?: unknown) =>
    new EspalierError('protocol', `${task}: report: got ${got}, expected JSON of a rung and what was tried`, { cause });
  if (!(bytes instanceof Uint8Array)) throw refuse('nothing');
  let report: Partial<SolveReport> | null;
  try {
    report = JSON.parse(new TextDecoder().decode(bytes)) as Partial<SolveReport> | null;
  } catch (cause) {
    throw refuse('no JSON', cause);
  }
  const isResidual = (value: unknown) => value === null || typeof value === 'number';
  const isWhole =
    typeof report?.rung === 'string' &&
    isResidual(report.heldOutBefore) &&
    isResidual(report.heldOutAfter) &&
    Array.isArray(report.tried) &&
    report.tried.every((tried) => typeof tried?.rung === 'string' && isResidual(tried.heldOut));
  if (!isWhole) throw refuse('another form');
  return report as SolveReport;
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
