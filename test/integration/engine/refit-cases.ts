// A refit's positions by the float64 reference encoder, samples and token gradients for it.
import assert from 'node:assert/strict';
import { writeFile } from 'node:fs/promises';
import path from 'node:path';
import type { EncodedSample } from '../../../dataset/encoded-sample.ts';
import type { Plan } from '../../../dataset/plan.ts';
import { denseMasks, type Masks } from '../../../pruning/masks.ts';
import { randomStream } from '../../../pruning/random.ts';
import type { RefitReport } from '../../../pruning/refit.ts';
import type { InputPart } from '../../../pruning/refit-part.ts';
import { encodeSafetensors } from '../../../shared/safetensors.ts';
import type { NamedTensor } from '../../../shared/tensor.ts';
import type { ShardRange } from '../../../worker/tasks/task-context.ts';
import { stretchesOf } from '../../../worker/tuning/stretch.ts';
import { directError, directRefit, joinCases, type RefitCase } from '../../support/direct-refit.ts';
import { tolerance } from '../../support/engine-under-test.ts';
import type { ReferenceEncoder } from '../../support/reference-encoder.ts';
import { keptFeatures, outputWeight, type SubLayerPlace } from '../../support/reference-sums.ts';
import { assertWithin, largestGap, tensorOf } from './results.ts';
import { encoderInput, HEADS, LAYERS, maskValues, NEURONS } from './tiny-model.ts';

export const STEPS = 2 * LAYERS;

// Features and targets are float32 after up to three layers, right to 5e-6 of the largest (oracle.test.ts), and so are errors that
// are read from sums (6e-7 was seen; with TF32 5e-4). What a ridge makes of them may be moved by 1 / λ times as much, in
// proportion (3e-5 was seen with λ of 0.01; with TF32 3e-3).
export const TOLERANCE = tolerance({ float32: 2e-4, tf32: 2e-2 });
export const ERRORS = tolerance({ float32: 5e-6, tf32: 5e-3 });
export const SETTINGS = { lambdas: [0.01, 0.1, 1] };

export function reportOf(tensors: readonly NamedTensor[]): RefitReport {
  return JSON.parse(new TextDecoder().decode(tensorOf(tensors, 'report').data as Uint8Array)) as RefitReport;
}

/** Asserts that a refit's report has the held-out errors of direct solutions for SETTINGS, from "unchanged" down to the first that
 * is no better, and that it took the least.
 * @returns what the projection should be. */
export function assertLadder(
  report: RefitReport,
  fitted: RefitCase,
  judge: RefitCase,
  what: string,
): ArrayLike<number> {
  const { lambdas } = SETTINGS;
  const errors = lambdas.map((lambda) => directError(judge, directRefit(fitted, lambda)));
  errors.push(directError(judge, judge.current));
  const tried = report.tried.map((rung) => rung.heldOut!);
  const first = errors.length - tried.length;
  assertWithin(largestGap(tried, errors.slice(first)), ERRORS, `${what}: held-out errors`);
  assert.equal(report.heldOutAfter, Math.min(...tried), what);
  const taken = report.tried.findIndex(({ rung }) => rung === report.rung);
  assert.ok(taken === 1 || first === 0, `${what}: ${report.rung} of ${JSON.stringify(report.tried)}`);
  const best = first + taken;
  assert.equal(report.refitted, best < lambdas.length, what);
  return best === lambdas.length ? fitted.current : directRefit(joinCases([fitted, judge]), lambdas[best]);
}

/** Samples of a plan's shards in the order in which tasks go through them. */
export function samplesInOrder({ samples, shards }: Plan, { first, end }: ShardRange): EncodedSample[] {
  return shards
    .slice(first, end)
    .flatMap(({ batches }) => batches.flatMap(({ members }) => Array.from(members, (member) => samples[member])));
}

export interface CaseModels {
  readonly dense: ReferenceEncoder;
  /** The model with the student's patches in place (patches.ts), of which masks leave a part. */
  readonly student: ReferenceEncoder;
  readonly masks: Masks;
}

export interface CaseShards {
  readonly plan: Plan;
  readonly range: ShardRange;
  /** Of all positions of these shards in the tasks' order, also of those that do not count; null: 1. */
  readonly weights: ArrayLike<number> | null;
}

/** What a refit of a place learns from shards, by the definition. */
export function refitCase(
  { dense: teacher, student, masks }: CaseModels,
  place: SubLayerPlace,
  { plan, range, weights }: CaseShards,
): RefitCase {
  const { hiddenSize, task } = teacher.config;
  const byToken = task === 'question-answering' || task === 'token-classification';
  const firstOnly = !byToken && place.layer === LAYERS - 1;
  const values = maskValues(masks);
  const kept = keptFeatures(student, values, place);
  const dense = maskValues(denseMasks(LAYERS, HEADS, NEURONS));
  const [x, r, own]: [number[], number[], number[]] = [[], [], []];
  let position = 0;
  for (const sample of samplesInOrder(plan, range)) {
    const input = encoderInput(sample);
    const { output } = teacher.forward(input, dense)[place.kind][place.layer];
    const { input: residual, features } = student.forward(input, values)[place.kind][place.layer];
    const width = features.length / input.ids.length;
    input.ids.forEach((_, token) => {
      const at = position++;
      if (firstOnly && token > 0) return;
      x.push(...kept.map((feature) => features[token * width + feature]));
      for (let d = 0; d < hiddenSize; d++) r.push(output[token * hiddenSize + d] - residual[token * hiddenSize + d]);
      own.push(weights === null ? 1 : weights[at]);
    });
  }
  const name = `layers.${place.layer}.${place.kind === 'ffn' ? 'ffn_out' : 'attention_output'}`;
  const current = [...outputWeight(student, kept, place), ...student.weight(`${name}.bias`)];
  return { features: kept.length, hiddenSize, x, r, weights: own, current };
}

/** What a refit of input projections learns from shards, by the definition: x are the student's inputs of the sub-layer, r what
 * the dense model's projections make of its own; `current` is [D + 1, rows of the patch]. */
export function inputCase(
  { dense: teacher, student, masks }: CaseModels,
  place: SubLayerPlace & { readonly part: InputPart },
  { plan, range, weights }: CaseShards,
): RefitCase {
  const { hiddenSize, task } = teacher.config;
  const byToken = task === 'question-answering' || task === 'token-classification';
  const firstOnly = !byToken && place.layer === LAYERS - 1 && (place.kind === 'ffn' || place.part === 'query');
  const values = maskValues(masks);
  const kept = keptFeatures(student, values, place);
  const dense = maskValues(denseMasks(LAYERS, HEADS, NEURONS));
  const all = { input: ['query', 'key', 'value'], query: ['query'], key_value: ['key', 'value'] }[place.part];
  const names = (place.kind === 'ffn' ? ['ffn_in'] : all).map((name) => `layers.${place.layer}.${name}`);
  /** Rows of the kept, each with its bias. */
  const rowsOf = (encoder: ReferenceEncoder) =>
    names.flatMap((name) =>
      kept.map((row) => ({
        weight: encoder.weight(`${name}.weight`).subarray(row * hiddenSize, (row + 1) * hiddenSize),
        bias: encoder.weight(`${name}.bias`)[row],
      })),
    );
  const taught = rowsOf(teacher);
  const [x, r, own]: [number[], number[], number[]] = [[], [], []];
  let position = 0;
  for (const sample of samplesInOrder(plan, range)) {
    const input = encoderInput(sample);
    const [mine, its] = [student.forward(input, values), teacher.forward(input, dense)].map(
      (trace) => trace[place.kind][place.layer].input,
    );
    input.ids.forEach((_, token) => {
      const at = position++;
      if (firstOnly && token > 0) return;
      const row = (states: Float64Array) => states.subarray(token * hiddenSize, (token + 1) * hiddenSize);
      x.push(...row(mine));
      const from = row(its);
      r.push(...taught.map(({ weight, bias }) => weight.reduce((sum, w, d) => sum + w * from[d], bias)));
      own.push(weights === null ? 1 : weights[at]);
    });
  }
  const now = rowsOf(student);
  const current = [
    ...Array.from({ length: hiddenSize }, (_, d) => now.map(({ weight }) => weight[d])).flat(),
    ...now.map(({ bias }) => bias),
  ];
  return { features: hiddenSize, hiddenSize: now.length, x, r, weights: own, current };
}

/** Random squared gradients of all positions of the shards, with some that are 0, as a file for each range. */
export async function gradientFiles(folder: string, plan: Plan, ranges: readonly ShardRange[]) {
  const files: { readonly shards: ShardRange; readonly path: string; readonly rows: Float32Array[] }[] = [];
  for (const shards of ranges) {
    const positions = samplesInOrder(plan, shards).reduce((sum, { tokenIds }) => sum + tokenIds.length, 0);
    const random = randomStream(19, `gradients ${shards.first}-${shards.end}`);
    const draw = () => new Float32Array(positions).map(() => Math.max(0, random.uniform() * 4 - 1));
    const rows = Array.from({ length: STEPS }, draw);
    const file = path.join(folder, `gradients-${shards.first}-${shards.end}`);
    await writeFile(file, gradientsBlob(rows));
    files.push({ shards, path: file, rows });
  }
  return files;
}

export function gradientsBlob(rows: readonly Float32Array[], name = 'token_gradients'): Uint8Array {
  const data = Float32Array.from(rows.flatMap((row) => [...row]));
  return encodeSafetensors([{ name, dtype: 'F32', shape: [rows.length, rows[0].length], data }]);
}

/** ½ + ½·g / mean */
export function weightsOf(gradients: readonly Float32Array[], mean: number): number[] {
  return gradients.flatMap((row) => Array.from(row, (g) => 0.5 + (0.5 * g) / mean));
}

/** Shards of several stretches, so that weights are cut. */
export function hasStretches(plan: Plan): boolean {
  return plan.shards.some((_, shard) => stretchesOf(plan, shard).length > 1);
}
