// Task "fisher": gradients of the mask variables of some shards, summed by Fisher group (method: docs/method.md, "Importance").
import type { Plan, Shard } from '../../dataset/plan.ts';
import { gramOfRows, MOST_TASK_GRADIENTS } from '../../pruning/fisher.ts';
import { EspalierError } from '../../shared/errors.ts';
import type { NamedTensor } from '../../shared/tensor.ts';
import type { DeviceTensor } from '../engine/engine.ts';
import { layerBackward } from '../model/backward.ts';
import { type DeviceBatch, uploadBatch } from '../model/device-batch.ts';
import type { EncoderWeights } from '../model/encoder-weights.ts';
import { type LayerPass, lastQueries } from '../model/forward.ts';
import { headBackward, headForward } from '../model/head.ts';
import type { LocalModel } from '../model/local-model.ts';
import { checkTarget, sampleLoss } from '../model/losses.ts';
import { sampleLogits } from '../model/sample-logits.ts';
import { type ShardRange, shardsOf, type TaskContext } from './task-context.ts';

export interface FisherInput {
  readonly model: LocalModel;
  readonly plan: Plan;
  readonly shards: ShardRange;
  /** Return Grams in place of rows. */
  readonly gram: boolean;
}

/** @returns the tensors that worker.proto names for FisherTask. */
export async function runFisher(context: TaskContext, input: FisherInput): Promise<NamedTensor[]> {
  const weights = await context.models.dense(input.model);
  const shards = shardsOf(input.plan, input.shards);
  const { groupSize } = input.plan;
  const firstSample = shards[0].firstSample;
  const samples = shards[shards.length - 1].endSample - firstSample;
  const groups = Math.ceil(samples / groupSize);
  const { heads, neurons } = widths(weights);
  if (groups * (heads + neurons) > MOST_TASK_GRADIENTS)
    throw new EspalierError(
      'protocol',
      `fisher: got ${groups} rows of ${heads + neurons}, expected at most ${MOST_TASK_GRADIENTS} gradients`,
    );
  const sums = new Float64Array(groups * (heads + neurons));
  const losses = new Float32Array(samples);
  for (const shard of shards) {
    for (const batch of shard.batches) {
      context.checkCancelled();
      const found = batchGradients(context, weights, input.plan, shard, batch);
      found.losses.forEach((loss, i) => {
        losses[batch.members[i] - firstSample] = loss;
      });
      const firstGroup = (shard.firstSample - firstSample) / groupSize;
      addRows(sums, found.headRows, firstGroup, found.groups, heads + neurons, 0, heads);
      addRows(sums, found.neuronRows, firstGroup, found.groups, heads + neurons, heads, neurons);
    }
  }
  const rows = Float32Array.from(sums, (sum) => sum / groupSize);
  const lossTensor: NamedTensor = { name: 'losses', dtype: 'F32', shape: [samples], data: losses };
  // Losses come first: where they are not finite, that is what there is to say.
  if (!input.gram) return [lossTensor, { name: 'rows', dtype: 'F32', shape: [groups, heads + neurons], data: rows }];
  return [lossTensor, ...gramTensors(context, weights, rows, groups)];
}

interface BatchGradients {
  readonly losses: readonly number[];
  /** Groups of the shard. */
  readonly groups: number;
  /** Sums over the samples of each group, [groups, heads of all layers]. */
  readonly headRows: Float32Array;
  /** [groups, neurons of all layers]. */
  readonly neuronRows: Float32Array;
}

function batchGradients(
  context: TaskContext,
  weights: EncoderWeights,
  plan: Plan,
  shard: Shard,
  batch: Shard['batches'][number],
): BatchGradients {
  const { engine, ops, forward } = context;
  const last = weights.layers.length - 1;
  const groups = Math.ceil((shard.endSample - shard.firstSample) / plan.groupSize);
  return engine.scope(() => {
    const device = uploadBatch(engine, plan.samples, batch, weights.config);
    for (const member of batch.members) checkTarget(weights.config, plan.samples[member], `sample ${member}`);
    // [groups, b]: 1 where a sample belongs to a group, so that a product sums a group's samples.
    const membership = new Float32Array(groups * device.samples);
    batch.members.forEach((member, i) => {
      membership[Math.floor((member - shard.firstSample) / plan.groupSize) * device.samples + i] = 1;
    });
    const grouping = engine.upload(membership, [groups, device.samples]);

    let x = engine.scope(() => forward.embed(weights, device));
    const passes: LayerPass[] = [];
    for (let l = 0; l <= last; l++) {
      context.checkCancelled();
      const input = x;
      const done = engine.scope(() =>
        forward.layer(weights, l, input, device, l === last ? lastQueries(weights) : 'all'),
      );
      engine.dispose(input);
      x = done.x;
      passes.push(done.pass);
    }
    const head = headForward(forward, weights, x);
    const { losses, gradient } = lossGradient(context, weights, plan, batch, device, head.logits);
    let dx = headBackward(forward, weights, head, gradient);

    const headRows: DeviceTensor[] = [];
    const neuronRows: DeviceTensor[] = [];
    for (let l = last; l >= 0; l--) {
      context.checkCancelled();
      const incoming = dx;
      const found = engine.scope(() => {
        const gradients = layerBackward(forward, weights, l, passes[l], incoming, device);
        return {
          input: gradients.input,
          heads: gradients.heads === null ? null : ops.matMul(grouping, gradients.heads),
          neurons: gradients.neurons === null ? null : ops.matMul(grouping, gradients.neurons),
        };
      });
      engine.dispose(incoming);
      for (const tensor of passTensors(passes[l])) engine.dispose(tensor);
      if (found.heads !== null) headRows.unshift(found.heads);
      if (found.neurons !== null) neuronRows.unshift(found.neurons);
      if (found.input !== null) dx = found.input;
    }
    const download = (parts: DeviceTensor[]) =>
      parts.length === 0 ? new Float32Array(0) : engine.downloadFloat32(ops.concat(parts, 1));
    return { losses, groups, headRows: download(headRows), neuronRows: download(neuronRows) };
  });
}

// Losses on the host, their gradients back to the device in the shape of the logits; padding gets none.
function lossGradient(
  context: TaskContext,
  weights: EncoderWeights,
  plan: Plan,
  batch: Shard['batches'][number],
  device: DeviceBatch,
  logits: DeviceTensor,
) {
  const { engine } = context;
  const { task, outputs } = weights.config;
  const values = engine.downloadFloat32(logits);
  const gradients = new Float32Array(values.length);
  const rowsPerSample = weights.headDense === null ? device.tokens : 1;
  const losses = Array.from(batch.members, (member, i) => {
    const own = sampleLogits(values, i, rowsPerSample, weights.headDense === null ? device.lengths[i] : 1, outputs);
    const { loss, gradient } = sampleLoss(task, own, plan.samples[member].target, outputs);
    gradients.set(gradient, i * rowsPerSample * outputs);
    return loss;
  });
  return { losses, gradient: engine.upload(gradients, [...logits.shape]) };
}

function passTensors(pass: LayerPass): DeviceTensor[] {
  const groups = [pass.attention, pass.attentionNorm, pass.ffn, pass.ffnNorm];
  return groups.flatMap((group) => (group === null ? [] : Object.values(group).filter((tensor) => tensor !== null)));
}

function widths(weights: EncoderWeights): { heads: number; neurons: number } {
  return {
    heads: weights.layers.reduce((sum, layer) => sum + layer.heads, 0),
    neurons: weights.layers.reduce((sum, layer) => sum + layer.neurons, 0),
  };
}

// sums[firstRow + r, firstColumn + c] += part[r, c]
function addRows(
  sums: Float64Array,
  part: Float32Array,
  firstRow: number,
  rows: number,
  stride: number,
  firstColumn: number,
  columns: number,
): void {
  for (let r = 0; r < rows; r++) {
    const to = (firstRow + r) * stride + firstColumn;
    for (let c = 0; c < columns; c++) sums[to + c] += part[r * columns + c];
  }
}

function gramTensors(context: TaskContext, weights: EncoderWeights, rows: Float32Array, count: number): NamedTensor[] {
  const { layers, heads, intermediateSize } = weights.config;
  const sizes = { layers, heads, neurons: intermediateSize };
  const gram = gramOfRows({ form: 'rows', rows: count, values: rows }, sizes, () => context.checkCancelled());
  // A layer's Gram follows that of the layer before: the whole buffer is the tensor.
  const whole = (name: string, [first]: readonly Float64Array[]): NamedTensor => {
    const data = new Float64Array(first.buffer as ArrayBuffer);
    return { name, dtype: 'F64', shape: [layers, first.length], data };
  };
  return [whole('head_gram', gram.headGrams), whole('neuron_gram', gram.neuronGrams)];
}
