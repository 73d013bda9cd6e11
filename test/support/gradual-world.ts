// A job for tests of gradual pruning whose workers are made up: what a task answers is decided by what it is asked, and by
// nothing else, so that equal answers mean equal requests. The job's home is a folder.
import { mkdir, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import type { ModelConfig } from '../../checkpoint/model-config.ts';
import { rearrangeFromFile } from '../../coordinator/job/fisher-file.ts';
import type { JobContext } from '../../coordinator/job/job-context.ts';
import { maskedStudent, type Student } from '../../coordinator/job/student.ts';
import type { WritesBehind } from '../../coordinator/job/writes-behind.ts';
import type { JobEvent } from '../../coordinator/job-events.ts';
import { planSamples } from '../../coordinator/stages/plan.ts';
import { StateFiles } from '../../coordinator/store/state-files.ts';
import type { RunOptions } from '../../coordinator/workers/task-run.ts';
import type { TaskResult, TaskSpec } from '../../coordinator/workers/task-spec.ts';
import { packedLength } from '../../pruning/fisher.ts';
import { denseMasks } from '../../pruning/masks.ts';
import { randomStream } from '../../pruning/random.ts';
import type { MaskSet } from '../../shared/rpc/generated/espalier/v1/MaskSet.ts';
import type { NamedTensor } from '../../shared/tensor.ts';
import { modelConfig } from '../unit/coordinator/configs.ts';
import { samplesOf } from '../unit/dataset/samples.ts';
import { FAKE_DEVICE } from './fake-executor.ts';
import { received } from './received.ts';

/** Makes the tensors of a task's result. */
export type Answer = (task: TaskSpec) => NamedTensor[];

export interface GradualWorld {
  readonly context: JobContext;
  /** Ids of the tasks that were sent, in order. */
  readonly sent: string[];
  readonly tasks: TaskSpec[];
  readonly events: JobEvent[];
  /** The made-up answer. */
  readonly answer: Answer;
}

/** @param folder of the job's home; the same one again goes on. @param answers in place of the made-up ones. */
export function gradualWorld(
  folder: string,
  options: {
    config?: Partial<ModelConfig>;
    lengths?: readonly number[];
    workers?: number;
    answers?: (task: TaskSpec, answer: Answer) => NamedTensor[];
    behind?: WritesBehind;
  } = {},
): GradualWorld {
  const config = modelConfig(options.config);
  const { lengths = Array.from({ length: 20 }, (_, i) => 3 + (i % 4)) } = options;
  const calibration = planSamples(samplesOf(lengths), {
    ...{ config, device: FAKE_DEVICE, groupSize: 1, tokensPerBatch: 12, heldOut: true },
  });
  const { samples, shards } = calibration.plan;
  const samplesIn = ({ first, end }: { first: number; end: number }) =>
    samples.slice(shards[first].firstSample, shards[end - 1].endSample);
  const f64 = (name: string, data: Float64Array): NamedTensor => ({ name, dtype: 'F64', shape: [data.length], data });
  const f32 = (name: string, data: Float32Array): NamedTensor => ({ name, dtype: 'F32', shape: [data.length], data });
  const report = (told: object): NamedTensor => {
    const data = new TextEncoder().encode(JSON.stringify(told));
    return { name: 'report', dtype: 'U8', shape: [data.length], data };
  };

  const answer: Answer = ({ request }) => {
    const { gradients, refitEquations, refit, evaluate, solve } = request;
    const { layers, heads, intermediateSize, hiddenSize, headSize, outputs } = config;
    const random = (...seeds: unknown[]) => {
      const stream = randomStream(1, JSON.stringify(seeds));
      return () => stream.uniform();
    };
    const featuresOf = (student: MaskSet, layer: number, subLayer: string) => {
      const [mask, size, per] =
        subLayer === 'ffn'
          ? [student.neuronMask as Uint8Array, 1, intermediateSize]
          : [student.headMask as Uint8Array, headSize, heads];
      return size * mask.subarray(layer * per, (layer + 1) * per).reduce((sum, bit) => sum + bit, 0);
    };
    if (gradients) {
      const span = gradients.shards as { first: number; end: number };
      const next = random(identity(gradients.student!), span.first, span.end);
      const tokens = samplesIn(span).reduce((sum, { tokenIds }) => sum + tokenIds.length, 0);
      const masked = (mask: Uint8Array) => Float64Array.from(mask, (bit) => bit * next() ** 2);
      return [
        f32('losses', new Float32Array(samplesIn(span).length)),
        f64('head_importance', masked(gradients.student!.headMask as Uint8Array)),
        f64('neuron_importance', masked(gradients.student!.neuronMask as Uint8Array)),
        f32(
          'token_gradients',
          new Float32Array(2 * layers * tokens).map(() => next()),
        ),
      ];
    }
    const part = (refitEquations ?? refit)?.part ?? '';
    if (refitEquations && part !== '') {
      const gram = new Float64Array(packedLength(2 * hiddenSize + 1)).fill(1);
      return [f64('gram', gram), f64('positions', Float64Array.of(1))];
    }
    if (refitEquations) {
      if (refitEquations.stays) return [];
      const size = featuresOf(refitEquations.student!, refitEquations.layer!, refitEquations.subLayer!) + 1;
      return [
        f64('gram', new Float64Array(packedLength(size)).fill(1)),
        f64('right', new Float64Array(size * hiddenSize).fill(1)),
        f64('target_squares', Float64Array.of(1)),
        f64('positions', Float64Array.of(1)),
      ];
    }
    if (refit) {
      const { student, layer, subLayer } = refit;
      const projections = part === 'key_value' ? 2 : part === 'input' && subLayer === 'attention' ? 3 : 1;
      const rows = projections * featuresOf(student!, layer!, subLayer!);
      const next = random(identity(student!), layer, subLayer, ...(part === '' ? [] : [part]));
      return [
        f32(
          'weight',
          new Float32Array(rows * hiddenSize).map(() => next()),
        ),
        f32(
          'bias',
          new Float32Array(part === '' ? hiddenSize : rows).map(() => next()),
        ),
        report({ rung: 'ridge 0.01', heldOutBefore: 2, heldOutAfter: 1, tried: [{ rung: 'ridge 0.01', heldOut: 1 }] }),
      ];
    }
    if (solve) {
      const { student, layer, subLayer } = solve;
      const features = featuresOf(student!, layer!, subLayer!) / (subLayer === 'ffn' ? 1 : headSize);
      const next = random(identity(student!), layer, subLayer);
      return [
        f64(
          'scales',
          new Float64Array(features).map(() => 0.5 + next()),
        ),
        report({ rung: 'ridge 0.01', heldOutBefore: 2, heldOutAfter: 1, tried: [{ rung: 'ridge 0.01', heldOut: 1 }] }),
      ];
    }
    if (evaluate) {
      const span = evaluate.shards as { first: number; end: number };
      const next = random(evaluate.student ? identity(evaluate.student) : null, span.first);
      return [
        f32(
          'logits',
          new Float32Array(samplesIn(span).length * outputs).map(() => next()),
        ),
      ];
    }
    throw new Error('a task of another kind');
  };

  const sent: string[] = [];
  const tasks: TaskSpec[] = [];
  const events: JobEvent[] = [];
  let before: Promise<unknown> = Promise.resolve();
  // What is asked for together is computed one after the other.
  const runTasks = (specs: readonly TaskSpec[], options?: RunOptions): Promise<TaskResult[]> => {
    const run = before.then(() => runInOrder(specs, options));
    before = run.catch(() => {});
    return run;
  };
  const runInOrder = async (specs: readonly TaskSpec[], { onDone, signal }: RunOptions = {}): Promise<TaskResult[]> => {
    const results: TaskResult[] = [];
    for (const spec of specs) {
      signal?.throwIfAborted();
      sent.push(spec.id);
      tasks.push(spec);
      const tensors = options.answers?.(spec, answer) ?? answer(spec);
      const result = await received(spec, tensors);
      results.push(result);
      onDone?.(spec, result);
    }
    return results;
  };
  const files = new StateFiles(path.join(folder, 'stages'), () => {});
  const home = Object.assign(files, {
    async scratch() {
      await mkdir(path.join(folder, 'scratch'), { recursive: true });
      return path.join(folder, 'scratch');
    },
  });
  const context = {
    ...{ home, calibration, evaluation: null, signal: new AbortController().signal, mostSumBytes: 2 ** 20 },
    compute: { rearrange: rearrangeFromFile },
    checkpoint: { config },
    model: { config, ref: { configJson: '{}', weights: [] }, blobs: [] },
    emit: (event: JobEvent) => events.push(event),
    workers: { count: options.workers ?? 1, deviceClass: FAKE_DEVICE, runTasks },
    ...(options.behind && { behind: options.behind }),
  } as unknown as JobContext;
  return { context, sent, tasks, events, answer };
}

/** What names a student in a request. */
function identity({ headMask, neuronMask, headScales, neuronScales, patches }: MaskSet): unknown {
  return [
    ...[headScales, neuronScales].map((scales) => Buffer.from(scales as Uint8Array).toString('hex')),
    [...(headMask as Uint8Array)].join(''),
    [...(neuronMask as Uint8Array)].join(''),
    (patches ?? []).map(({ layer, subLayer, part, blob }) => [layer, subLayer, ...(part ? [part] : []), blob?.digest]),
  ];
}

/** Of a world's model of two layers with two heads and six neurons: layer 0 without its second head, layer 1 without any neuron. */
export function prunedStudent(): Student {
  const masks = denseMasks(2, 2, 6);
  masks.headMask[1] = 0;
  masks.neuronMask.fill(0, 6);
  return maskedStudent(masks);
}

/** Runs a test in a folder that is there until it has ended. */
export async function inFolder(use: (folder: string) => Promise<void>): Promise<void> {
  const folder = await mkdtemp(path.join(tmpdir(), 'espalier-gradual-'));
  try {
    await use(folder);
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}
