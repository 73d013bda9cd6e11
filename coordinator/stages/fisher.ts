// Stage "fisher": gradients of the mask variables of all calibration samples. Rows come a shard a task, or a few, and go to their
// place in a file. Where they would outnumber a layer's neurons, Grams come, a node of the plan's tree a task, and are added from
// file to file. What is held in memory does not depend on samples or workers.
import { rm } from 'node:fs/promises';
import path from 'node:path';
import type { ModelConfig } from '../../checkpoint/model-config.ts';
import { type Importance, type MaskSizes, MOST_TASK_GRADIENTS } from '../../pruning/fisher.ts';
import { cutTree, type ShardSpan } from '../../pruning/fold-tree.ts';
import { TensorFile } from '../../shared/tensor-file.ts';
import { fisherImportance, rowsTensors } from '../job/fisher-file.ts';
import { type JobContext, storedStage, TASK_DEADLINE_MS } from '../job/job-context.ts';
import { blobRef } from '../job/model-blobs.ts';
import { resultSink, type SinkTarget } from '../job/result-sink.ts';
import { type Student, studentBlobs, studentSet } from '../job/student.ts';
import type { LayerImportance } from '../prune-report.ts';
import type { TaskSpec } from '../workers/task-spec.ts';
import { GramFiles } from './gram-files.ts';
import { taskSpans } from './task-spans.ts';

const FLOAT32 = Float32Array.BYTES_PER_ELEMENT;

/** Nodes that Grams are made of at least, where there are shards enough. A node's Grams are as large as those of all: fewer
 * nodes save transfers, more keep more workers busy. Part of what makes results equal, like the plan. */
const LEAST_NODES = 16;

/** Neurons of a layer for each row of a node, at least: a worker's rows then take no more memory than their Grams. */
const NEURONS_A_ROW = 4;

/** Fisher information as the budgets of a job need it; whoever asked for it closes it. */
export interface FisherShelf {
  /** Seconds that it took. */
  readonly seconds: number;
  readonly importance: Importance;
  /** See fisher-file.ts. */
  readonly file: string;
  /** Removes the file. */
  close(): Promise<void>;
}

/** Fisher information of the calibration samples, from the state or computed. @param name of the stored stage.
 * @throws EspalierError "not_finite" when a loss or a gradient is not a finite number. */
export async function storedFisher(context: JobContext, name: string): Promise<FisherShelf> {
  const { home, calibration, behind } = context;
  const file = path.join(await home.scratch(), 'fisher.safetensors');
  const close = async () => {
    await behind?.written(name);
    await rm(file, { force: true });
  };
  try {
    const { seconds } = await storedStage<null>(context, 'fisher', {
      name,
      steps: calibration.plan.shards.length,
      async read() {
        const meta = await home.readTensorFile(name, file);
        return meta && { value: null, seconds: Number(meta.seconds) };
      },
      async run(progress) {
        await runFisher(context, file, progress);
        return null;
      },
      write: (_, seconds) => home.writeTensorFile(name, file, { seconds }),
    });
    return { seconds, importance: await fisherImportance(file, sizesOf(context)), file, close };
  } catch (caught) {
    await close();
    throw caught;
  }
}

/** What a report tells of it. */
export function importanceByLayer(
  { heads, neurons }: Importance,
  sizes: Pick<ModelConfig, 'layers' | 'heads' | 'intermediateSize'>,
): LayerImportance {
  const sums = (values: Float64Array, width: number) =>
    Array.from({ length: sizes.layers }, (_, layer) =>
      values.subarray(layer * width, (layer + 1) * width).reduce((sum, value) => sum + value, 0),
    );
  return { heads: sums(heads, sizes.heads), neurons: sums(neurons, sizes.intermediateSize) };
}

/** Which gradients; left out: those of the published method, of the dense model and with a row a group. */
export interface FisherAt {
  /** 0 where it keeps nothing. */
  readonly student?: Student;
  /** A row a sample. */
  readonly bySample?: boolean;
}

/** Writes the Fisher information of the calibration samples: rows, or Grams where rows would outnumber a layer's
 * variables. A file that could not be finished is removed. @param progress told of the shards that are done. */
export async function runFisher(
  context: JobContext,
  file: string,
  progress: (done: number) => void,
  at: FisherAt = {},
): Promise<void> {
  const rows = Math.ceil(context.calibration.plan.samples.length / groupSizeOf(context, at));
  if (rows > sizesOf(context).neurons) await runGrams(context, file, at, progress);
  else await runRows(context, file, at, progress);
}

function groupSizeOf({ calibration }: JobContext, { bySample }: FisherAt): number {
  return bySample ? 1 : calibration.plan.groupSize;
}

function sizesOf({ checkpoint }: JobContext): MaskSizes {
  const { layers, heads, intermediateSize: neurons } = checkpoint.config;
  return { layers, heads, neurons };
}

async function runRows(
  context: JobContext,
  path: string,
  at: FisherAt,
  progress: (done: number) => void,
): Promise<void> {
  const sizes = sizesOf(context);
  const shards = context.calibration.plan.shards;
  const { endRow: rows } = rowsOf(context, { first: 0, end: shards.length }, at);
  const width = sizes.layers * (sizes.heads + sizes.neurons);
  const file = await TensorFile.create(path, rowsTensors(sizes, rows));
  const spans = rowSpans(context, width, at);
  try {
    // A repeated task writes the same bytes to the same place.
    const targets = (span: ShardSpan): Record<string, SinkTarget> => {
      const { firstRow, endRow } = rowsOf(context, span, at);
      const write = (bytes: Uint8Array, place: number) =>
        file.write('rows', (firstRow * width + place) * FLOAT32, bytes);
      return { rows: { dtype: 'F32', length: (endRow - firstRow) * width, write } };
    };
    await runTasks(context, { at, spans, gram: false, targets, onDone: () => {} }, progress);
    await file.close();
  } catch (caught) {
    await file.remove();
    throw caught;
  }
}

/** Shards of each task. */
function rowSpans(context: JobContext, width: number, at: FisherAt): ShardSpan[] {
  const { calibration, workers } = context;
  return taskSpans({ first: 0, end: calibration.plan.shards.length }, workers, (span) => {
    const { firstRow, endRow } = rowsOf(context, span, at);
    return (endRow - firstRow) * width <= MOST_TASK_GRADIENTS;
  });
}

async function runGrams(
  context: JobContext,
  path: string,
  at: FisherAt,
  progress: (done: number) => void,
): Promise<void> {
  const sizes = sizesOf(context);
  const spans = gramNodes(context, sizes, at);
  const files = new GramFiles({ path, sizes, nodes: spans.length, signal: context.signal });
  try {
    const targets = (_: ShardSpan, node: number) => files.targets(node);
    await runTasks(context, { at, spans, gram: true, targets, onDone: (node) => files.take(node) }, progress);
    await files.finish();
  } finally {
    await files.close();
  }
}

/** Nodes of the plan's tree with no more rows than a task should have, where shards are that small. */
function gramNodes(context: JobContext, sizes: MaskSizes, at: FisherAt): ShardSpan[] {
  const { shards } = context.calibration.plan;
  const { layers, heads, neurons } = sizes;
  const mostRows = Math.min(neurons / NEURONS_A_ROW, MOST_TASK_GRADIENTS / (layers * (heads + neurons)));
  for (let count = Math.min(LEAST_NODES, shards.length); ; count++) {
    const nodes = cutTree(0, shards.length, count);
    const fits = nodes.every((node) => {
      const { firstRow, endRow } = rowsOf(context, node, at);
      return endRow - firstRow <= mostRows;
    });
    if (fits || count >= shards.length) return nodes;
  }
}

function samplesOf({ calibration: { plan } }: JobContext, { first, end }: ShardSpan) {
  return { firstSample: plan.shards[first].firstSample, endSample: plan.shards[end - 1].endSample };
}

function rowsOf(context: JobContext, span: ShardSpan, at: FisherAt): { firstRow: number; endRow: number } {
  const groupSize = groupSizeOf(context, at);
  const { firstSample, endSample } = samplesOf(context, span);
  return { firstRow: firstSample / groupSize, endRow: Math.ceil(endSample / groupSize) };
}

interface FisherTasks {
  readonly at: FisherAt;
  readonly spans: readonly ShardSpan[];
  readonly gram: boolean;
  /** Where the large tensors of a span's task go. */
  targets(span: ShardSpan, index: number): Record<string, SinkTarget>;
  onDone(index: number): void;
}

async function runTasks(
  context: JobContext,
  { at: { student, bySample }, spans, gram, targets, onDone }: FisherTasks,
  progress: (done: number) => void,
): Promise<void> {
  const { calibration, model, workers, signal } = context;
  const common = { model: model.ref, plan: blobRef(calibration.blob), gram };
  const own = { ...common, ...(student && { student: studentSet(student) }), ...(bySample && { bySample }) };
  const tasks = spans.map((shards, index): TaskSpec => {
    const { first, end } = shards;
    const id = end - first === 1 ? `fisher/${first}` : `fisher/${first}-${end}`;
    return {
      id,
      blobs: [...model.blobs, calibration.blob, ...(student ? studentBlobs(student) : [])],
      request: { fisher: { ...own, shards } },
      deadlineMs: TASK_DEADLINE_MS,
      sink: () => resultSink(id, { losses: lossesOf(samplesOf(context, shards)), ...targets(shards, index) }),
    };
  });
  const indices = new Map(tasks.map(({ id }, index) => [id, index]));
  let done = 0;
  await workers.runTasks(tasks, {
    signal,
    onDone({ id }: TaskSpec) {
      const index = indices.get(id)!;
      onDone(index);
      done += spans[index].end - spans[index].first;
      progress(done);
    },
  });
}

/** Losses are checked, before the gradients that they come with, and not kept. */
function lossesOf({ firstSample, endSample }: { firstSample: number; endSample: number }): SinkTarget {
  return { dtype: 'F32', length: endSample - firstSample, write: async () => {} };
}
