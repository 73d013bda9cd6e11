// Stage "fisher": gradients of the mask variables of all calibration samples, a shard a task.
import type { Plan } from '../../dataset/plan.ts';
import { addGramsTo, type FisherGrams, type FisherInformation, packedLength } from '../../pruning/fisher.ts';
import { TreeFold } from '../../pruning/fold-tree.ts';
import type { NamedTensor } from '../../shared/tensor.ts';
import { type JobContext, storedStage, TASK_DEADLINE_MS } from '../job/job-context.ts';
import { blobRef } from '../job/model-blobs.ts';
import { resultTensor } from '../job/result-tensor.ts';
import { inParallel } from '../jobs/in-parallel.ts';
import type { TaskResult, TaskSpec } from '../workers/task-spec.ts';

/** Fisher information as the budgets of a job need it: in memory while one searches, in the store while one tunes. */
export interface FisherShelf {
  /** Seconds that it took. */
  readonly seconds: number;
  take(): Promise<FisherInformation>;
  /** Lets go of the memory; the next `take` reads it again. */
  putBack(): void;
}

/** Fisher information of the calibration samples, from the state or computed. @param name of the stored stage. */
export async function storedFisher(context: JobContext, name: string): Promise<FisherShelf> {
  let { value: held, seconds }: { value: FisherInformation | null; seconds: number } = await fisherStage(context, name);
  return {
    seconds,
    async take() {
      held ??= (await readFisher(context, name))?.value ?? (await fisherStage(context, name)).value;
      return held;
    },
    putBack() {
      held = null;
    },
  };
}

function fisherStage(context: JobContext, name: string): Promise<{ value: FisherInformation; seconds: number }> {
  return storedStage<FisherInformation>(context, 'fisher', {
    name,
    steps: context.calibration.plan.shards.length,
    read: () => readFisher(context, name),
    run: (progress) => runFisher(context, progress),
    write: (value, seconds) => context.home.writeTensors(name, fisherToTensors(value), { seconds }),
  });
}

async function readFisher(
  { home, checkpoint }: JobContext,
  name: string,
): Promise<{ value: FisherInformation; seconds: number } | null> {
  const stored = await home.readTensors(name);
  if (stored === null) return null;
  return {
    value: fisherFromTensors(stored.tensors, checkpoint.config.layers),
    seconds: Number(stored.meta.seconds),
  };
}

/** Fisher information of the calibration samples: rows, or Grams where rows would outnumber a layer's variables.
 * @throws EspalierError "not_finite" when a loss or a gradient is not a finite number. */
export async function runFisher(context: JobContext, progress: (done: number) => void): Promise<FisherInformation> {
  const { calibration, model, workers, signal, checkpoint } = context;
  const { plan, blob } = calibration;
  const { layers, heads, intermediateSize } = checkpoint.config;
  const rows = Math.ceil(plan.samples.length / plan.groupSize);
  const gram = rows > intermediateSize;
  const tasks = plan.shards.map(
    (_, shard): TaskSpec => ({
      id: `fisher/${shard}`,
      blobs: [...model.blobs, blob],
      request: {
        fisher: {
          model: model.ref,
          plan: blobRef(blob),
          shards: { first: shard, end: shard + 1 },
          gram,
        },
      },
      deadlineMs: TASK_DEADLINE_MS,
    }),
  );
  const width = layers * (heads + intermediateSize);
  const values = new Float32Array(gram ? 0 : rows * width);
  const shards = new Map(tasks.map(({ id }, shard) => [id, shard]));
  let done = 0;
  const fold = new TreeFold<FisherGrams>(0, tasks.length, addGramsTo);
  let grams: FisherGrams | null = null;
  const onDone = ({ id }: TaskSpec, result: TaskResult) => {
    const shard = shards.get(id) ?? 0;
    const { firstSample, endSample } = plan.shards[shard];
    resultTensor(result, id, 'losses', { dtype: 'F32', length: endSample - firstSample });
    if (gram) grams = fold.take(shard, gramsOf(result, shard, layers, heads, intermediateSize));
    else takeRows(values, result, plan, shard, width);
    // What was taken is held once: with a row a sample it is hundreds of megabytes, and so is a large model's Gram.
    result.clear();
    progress(++done);
  };
  const bytes = gram ? layers * (packedLength(heads) + packedLength(intermediateSize)) * 8 : 0;
  const atOnce = Math.max(2, Math.floor(context.mostSumBytes / bytes));
  if (atOnce >= tasks.length) await workers.runTasks(tasks, { signal, onDone });
  else await inParallel(tasks, atOnce, (task) => workers.runTasks([task], { signal, onDone }));
  return grams ?? { form: 'rows', rows, values };
}

/** Puts the rows of one shard in their place. @param values [rows, width] of all shards. */
function takeRows(values: Float32Array, result: TaskResult, plan: Plan, shard: number, width: number): void {
  const { firstSample, endSample } = plan.shards[shard];
  const length = Math.ceil((endSample - firstSample) / plan.groupSize) * width;
  const part = resultTensor(result, `fisher/${shard}`, 'rows', { dtype: 'F32', length });
  values.set(part, (firstSample / plan.groupSize) * width);
}

function gramsOf(result: TaskResult, shard: number, layers: number, heads: number, neurons: number): FisherGrams {
  const split = (name: string, size: number) => {
    const length = packedLength(size);
    const data = resultTensor(result, `fisher/${shard}`, name, { dtype: 'F64', length: layers * length });
    return Array.from({ length: layers }, (_, layer) => data.subarray(layer * length, (layer + 1) * length));
  };
  return { form: 'gram', headGrams: split('head_gram', heads), neuronGrams: split('neuron_gram', neurons) };
}

/** Fisher information as the tensors of a stored stage. */
export function fisherToTensors(fisher: FisherInformation): NamedTensor[] {
  if (fisher.form === 'rows')
    return [
      { name: 'rows', dtype: 'F32', shape: [fisher.rows, fisher.values.length / fisher.rows], data: fisher.values },
    ];
  const list = (name: string, grams: readonly Float64Array[]) =>
    grams.map((data, layer): NamedTensor => ({ name: `${name}.${layer}`, dtype: 'F64', shape: [data.length], data }));
  return [...list('head_gram', fisher.headGrams), ...list('neuron_gram', fisher.neuronGrams)];
}

/** Inverse of `fisherToTensors`. */
export function fisherFromTensors(tensors: ReadonlyMap<string, NamedTensor>, layers: number): FisherInformation {
  const rows = tensors.get('rows');
  if (rows !== undefined) return { form: 'rows', rows: rows.shape[0], values: rows.data as Float32Array };
  const list = (name: string) =>
    Array.from({ length: layers }, (_, layer) => tensors.get(`${name}.${layer}`)?.data as Float64Array);
  return { form: 'gram', headGrams: list('head_gram'), neuronGrams: list('neuron_gram') };
}
