// Well-formed requests for a RequestRunner, to be spoilt field by field.
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { writeFile } from 'node:fs/promises';
import path from 'node:path';
import type test from 'node:test';
import type { EncodedSample } from '../../../dataset/encoded-sample.ts';
import type { Plan } from '../../../dataset/plan.ts';
import { encodePlan } from '../../../dataset/plan-blob.ts';
import { denseMasks, type Masks } from '../../../pruning/masks.ts';
import { DEFAULT_REFIT_SETTINGS } from '../../../pruning/refit.ts';
import { DEFAULT_TUNING_SETTINGS } from '../../../pruning/tuning.ts';
import type { RunRequest } from '../../../shared/rpc/protocol.ts';
import type { NamedTensor } from '../../../shared/tensor.ts';
import { RequestRunner } from '../../../worker/tasks/read-request.ts';
import type { BlobPaths } from '../../../worker/tasks/request-fields.ts';
import type { OnPart } from '../../../worker/tasks/task-context.ts';
import { testContext, testPlan } from '../../support/engine.ts';
import { assertSameBits } from './results.ts';
import {
  HEADS,
  halfMasks,
  LAYERS,
  NEURONS,
  randomSamples,
  type TinyModel,
  temporaryFolder,
  tinyModel,
} from './tiny-model.ts';

type Fisher = NonNullable<RunRequest['fisher']>;
type Gradients = NonNullable<RunRequest['gradients']>;
type Evaluate = NonNullable<RunRequest['evaluate']>;
type EvaluateOnnx = NonNullable<RunRequest['evaluateOnnx']>;
type NormalEquations = NonNullable<RunRequest['normalEquations']>;
type Solve = NonNullable<RunRequest['solve']>;
type Activations = NonNullable<RunRequest['activations']>;
type RefitEquations = NonNullable<RunRequest['refitEquations']>;
type Refit = NonNullable<RunRequest['refit']>;
type Latency = NonNullable<RunRequest['latency']>;
export type MaskSet = NonNullable<Evaluate['student']>;
type BlobRef = NonNullable<Fisher['plan']>;

/** A runner, blobs for it, and a well-formed request of each kind. */
export class Desk {
  readonly tiny: TinyModel;
  readonly samples: EncodedSample[];
  readonly plan: BlobRef;
  private readonly context = testContext();
  private readonly runner = new RequestRunner(this.context);
  private readonly folder: string;
  private readonly paths: Record<string, string> = {};

  private constructor(tiny: TinyModel, folder: string) {
    this.tiny = tiny;
    this.folder = folder;
    this.samples = randomSamples(tiny.config, [5, 3, 7, 4, 6, 2]);
    this.plan = { digest: '', sizeBytes: 0 };
  }

  static async open(
    t: test.TestContext,
    head: 'SequenceClassification' | 'TokenClassification' | 'QuestionAnswering',
    fields: { labels?: number; problem?: string } = {},
  ): Promise<Desk> {
    const desk = new Desk(await tinyModel(t, 'Bert', head, fields), await temporaryFolder(t));
    Object.assign(desk.plan, await desk.put(encodePlan(planOf(desk.samples))));
    t.after(() => {
      desk.context.states.clear();
      desk.context.models.clear();
    });
    return desk;
  }

  async put(bytes: Uint8Array): Promise<BlobRef> {
    const digest = createHash('sha256').update(bytes).digest('hex');
    this.paths[digest] = path.join(this.folder, digest);
    await writeFile(this.paths[digest], bytes);
    return { digest, sizeBytes: bytes.length };
  }

  /** Who reads the blob from now on fails. */
  lose({ digest }: BlobRef): void {
    this.paths[digest] = path.join(this.folder, 'lost');
  }

  get model(): NonNullable<Fisher['model']> {
    const { configJson, weights } = this.tiny.model;
    for (const weight of weights) this.paths[weight.digest] = weight.path;
    return { configJson, weights: weights.map(({ digest }) => ({ digest, sizeBytes: 0 })) };
  }

  fisher(changes: Partial<Fisher> = {}): RunRequest {
    const own = { model: this.model, plan: this.plan, shards: { first: 0, end: 2 } };
    const fisher = { ...own, gram: false, student: null, bySample: false, ...changes };
    return { taskId: 'fisher', task: 'fisher', fisher };
  }

  gradients(changes: Partial<Gradients> = {}): RunRequest {
    const shards = { first: 0, end: 2 };
    const student = maskSet(halfMasks('student'));
    const gradients = { model: this.model, plan: this.plan, shards, student, ...changes };
    return { taskId: 'gradients', task: 'gradients', gradients };
  }

  evaluate(changes: Partial<Evaluate> = {}): RunRequest {
    const shards = { first: 0, end: 2 };
    const student = maskSet(halfMasks('student'));
    const evaluate = { model: this.model, plan: this.plan, shards, student, precision: '', ...changes };
    return { taskId: 'evaluate', task: 'evaluate', evaluate };
  }

  evaluateOnnx(changes: Partial<EvaluateOnnx> = {}): RunRequest {
    const shards = { first: 0, end: 2 };
    const evaluateOnnx = { model: this.model, plan: this.plan, shards, dtype: 'F32', digests: [], ...changes };
    return { taskId: 'evaluate-onnx', task: 'evaluateOnnx', evaluateOnnx };
  }

  normalEquations(changes: Partial<NormalEquations> = {}): RunRequest {
    const normalEquations = { ...this.tuning(), shards: { first: 0, end: 2 }, states: null, stays: false, ...changes };
    return { taskId: 'normal-equations', task: 'normalEquations', normalEquations };
  }

  activations(changes: Partial<Activations> = {}): RunRequest {
    const activations = { ...this.tuning(), shards: { first: 0, end: 2 }, heldOnly: false, ...changes };
    return { taskId: 'activations', task: 'activations', activations };
  }

  solve(changes: Partial<Solve> = {}): RunRequest {
    const settingsJson = JSON.stringify(DEFAULT_TUNING_SETTINGS);
    const fit = { shards: { first: 0, end: 2 }, source: 'shards' } as const;
    return {
      taskId: 'solve',
      task: 'solve',
      solve: { ...this.tuning(), fit, heldOut: null, settingsJson, states: [], next: [], ...changes },
    };
  }

  refitEquations(changes: Partial<RefitEquations> = {}): RunRequest {
    const { teacher: _, ...place } = this.tuning();
    const refitEquations = {
      ...place,
      part: '',
      shards: { first: 0, end: 2 },
      weights: null,
      stays: false,
      ...changes,
    };
    return { taskId: 'refit-equations', task: 'refitEquations', refitEquations };
  }

  refit(changes: Partial<Refit> = {}): RunRequest {
    const { teacher: _, ...place } = this.tuning();
    const fit = { shards: { first: 0, end: 2 }, source: 'shards' } as const;
    const settingsJson = JSON.stringify(DEFAULT_REFIT_SETTINGS);
    return {
      taskId: 'refit',
      task: 'refit',
      refit: { ...place, part: '', next: [], fit, heldOut: null, weights: null, settingsJson, ...changes },
    };
  }

  latency(changes: Partial<Latency> = {}): RunRequest {
    const students = [maskSet(halfMasks('student')), emptySet()];
    const own = { runtime: '', models: [], threads: 0, leastSeconds: 0 };
    const latency = { model: this.model, students, batchSize: 2, tokens: 3, repeats: 1, ...own, ...changes };
    return { taskId: 'latency', task: 'latency', latency };
  }

  /** As a worker that has seen nothing. */
  forget(): void {
    this.context.states.clear();
  }

  run(request: RunRequest, paths: BlobPaths = this.paths, onPart?: OnPart): Promise<NamedTensor[]> {
    return this.runner.run(request, paths, onPart);
  }

  /** The request is refused with this text, and a good one is answered as ever. */
  async refuses(request: RunRequest, text: RegExp): Promise<void> {
    const before = await this.run(this.evaluate());
    await assert.rejects(this.run(request), { code: 'protocol', message: text });
    assertSameBits(await this.run(this.evaluate()), before, 'afterwards');
  }

  private tuning() {
    const [teacher, student] = [denseMasks(LAYERS, HEADS, NEURONS), halfMasks('student')].map(maskSet);
    return { model: this.model, plan: this.plan, teacher, student, layer: 1, subLayer: 'ffn' };
  }
}

export function planOf(samples: readonly EncodedSample[]): Plan {
  return testPlan(samples, { groupSize: 3, tokensPerShard: 12 });
}

export function maskSet(masks: Masks): MaskSet {
  const bytes = ({ buffer, byteOffset, byteLength }: Uint8Array | Float32Array) =>
    Buffer.from(buffer as ArrayBuffer, byteOffset, byteLength);
  return {
    headMask: bytes(masks.headMask),
    neuronMask: bytes(masks.neuronMask),
    headScales: bytes(masks.headScales),
    neuronScales: bytes(masks.neuronScales),
    patches: [],
  };
}

export function emptySet(): MaskSet {
  const none = Buffer.alloc(0);
  return { headMask: none, neuronMask: none, headScales: none, neuronScales: none, patches: [] };
}
