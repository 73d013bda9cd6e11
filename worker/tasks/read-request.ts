// Turns a RunRequest as it came over the wire into the input of a task, with everything that a peer can choose checked.
import { readFile } from 'node:fs/promises';
import { availableParallelism } from 'node:os';
import type { Plan } from '../../dataset/plan.ts';
import { decodePlan } from '../../dataset/plan-blob.ts';
import type { Masks } from '../../pruning/masks.ts';
import { parseTuningSettings } from '../../pruning/tuning.ts';
import { EspalierError } from '../../shared/errors.ts';
import type { BlobRef__Output } from '../../shared/rpc/generated/espalier/v1/BlobRef.ts';
import type { MaskSet__Output } from '../../shared/rpc/generated/espalier/v1/MaskSet.ts';
import type { ModelRef__Output } from '../../shared/rpc/generated/espalier/v1/ModelRef.ts';
import type { RunRequest } from '../../shared/rpc/protocol.ts';
import type { NamedTensor } from '../../shared/tensor.ts';
import type { Precision } from '../engine/engine.ts';
import { MOST_BATCH_TOKENS } from '../model/device-batch.ts';
import type { LocalModel } from '../model/local-model.ts';
import type { ModelCache } from '../model/model-cache.ts';
import { OnnxModelCache } from '../model/onnx-model-cache.ts';
import type { StoredStudent } from '../model/student.ts';
import { runActivations } from './activations.ts';
import { runEvaluate } from './evaluate.ts';
import { runEvaluateOnnx } from './evaluate-onnx.ts';
import { runFisher } from './fisher.ts';
import { rowsOf } from './gradient-pass.ts';
import { runGradients } from './gradients.ts';
import { runLatency } from './latency.ts';
import { leaveRoom } from './leave-room.ts';
import { runNormalEquations, type TuningInput } from './normal-equations.ts';
import { type ReadSources, readNext, readRefit, readRefitEquations } from './read-refit.ts';
import { readMasks, readStudent, requireDense } from './read-student.ts';
import { runRefitEquations } from './refit-equations.ts';
import { runRefits } from './refits.ts';
import {
  type BlobPaths,
  given,
  model,
  pathOf,
  range,
  requireChainable,
  subLayer,
  sums,
  within,
} from './request-fields.ts';
import { runSolves } from './solves.ts';
import { type OnPart, shardsOf, type TaskContext } from './task-context.ts';

const MOST_REPEATS = 1000;
const MOST_TIMED = 64;
const MOST_LEAST_SECONDS = 600;
const MOST_THREADS = 1024;
const MOST_GIVEN_STATES = 256;

export class RequestRunner {
  private readonly context: TaskContext;
  private readonly models: ModelCache;
  private readonly onnxModels: OnnxModelCache;
  /** The plans that were used last; a job has one for calibration and one for evaluation. */
  private readonly plans = new Map<string, Plan>();
  private readonly sources: ReadSources = {
    plan: (ref, paths) => this.plan(ref, paths),
    student: (local, set, paths) => this.student(local, set, paths),
  };

  constructor(context: TaskContext) {
    this.context = context;
    this.models = context.models;
    // On a CPU there is a worker a core; beside a GPU the cores have nothing else to do.
    this.onnxModels = new OnnxModelCache(context.engine.binding.isUsingGpuDevice() ? availableParallelism() : 1);
  }

  /** Runs the task of a request; out of memory, once more without anything that was kept, which no answer depends on.
   * @param onPart told of tensors that come before the rest, each once. @returns the rest.
   * @throws EspalierError "protocol" for a request that makes no sense. */
  async run(request: RunRequest, paths: BlobPaths, onPart: OnPart = () => {}): Promise<NamedTensor[]> {
    const told = new Set<string>();
    const onNew: OnPart = (tensors) => {
      const fresh = tensors.filter(({ name }) => !told.has(name));
      for (const { name } of fresh) told.add(name);
      if (fresh.length > 0) onPart(fresh);
    };
    try {
      return await this.runOnce(request, paths, onNew);
    } catch (caught) {
      if (!(caught instanceof EspalierError && caught.code === 'out_of_memory')) throw caught;
      this.context.states.shrink();
      this.models.clear();
      return this.runOnce(request, paths, onNew);
    }
  }

  private async runOnce(request: RunRequest, paths: BlobPaths, onPart: OnPart): Promise<NamedTensor[]> {
    const { context } = this;
    if (request.task !== 'evaluateOnnx') await this.onnxModels.clear();
    switch (request.task) {
      case 'fisher': {
        const task = given(request.fisher, 'fisher');
        const local = model(task.model, paths);
        const { config } = await this.models.dense(local);
        requireDense(config, 'fisher');
        const plan = await this.plan(task.plan, paths);
        const shards = range(task.shards);
        const student = task.student === null ? null : await this.student(local, task.student, paths);
        leaveRoom(context, config, context.forward.kernels.kind, shardsOf(plan, shards), rowsOf(context, config, plan));
        return runFisher(context, { model: local, plan, shards, student, gram: task.gram, bySample: task.bySample });
      }
      case 'gradients': {
        const task = given(request.gradients, 'gradients');
        const local = model(task.model, paths);
        const student = await this.student(local, given(task.student, 'student'), paths);
        const plan = await this.plan(task.plan, paths);
        const shards = range(task.shards);
        const { config } = await this.models.dense(local);
        leaveRoom(context, config, context.forward.kernels.kind, shardsOf(plan, shards), rowsOf(context, config, plan));
        return runGradients(context, { model: local, plan, shards, student });
      }
      case 'evaluate': {
        const task = given(request.evaluate, 'evaluate');
        const local = model(task.model, paths);
        const student = task.student === null ? null : await this.student(local, task.student, paths);
        return runEvaluate(context, {
          model: local,
          plan: await this.plan(task.plan, paths),
          shards: range(task.shards),
          student,
          precision: precisionOf(task.precision),
        });
      }
      case 'evaluateOnnx': {
        const task = given(request.evaluateOnnx, 'evaluate_onnx');
        const file = { dtype: matrixType(task.dtype), digests: task.digests };
        return runEvaluateOnnx(context, await this.onnxModels.open(model(task.model, paths), file), {
          plan: await this.plan(task.plan, paths),
          shards: range(task.shards),
        });
      }
      case 'normalEquations': {
        const task = given(request.normalEquations, 'normal_equations');
        return runNormalEquations(context, {
          ...(await this.tuning(task, paths)),
          shards: range(task.shards),
          statesPath: task.states === null ? null : pathOf(task.states.digest, paths),
          stays: task.stays,
        });
      }
      case 'activations': {
        const task = given(request.activations, 'activations');
        const input = { ...(await this.tuning(task, paths)), shards: range(task.shards) };
        return runActivations(context, input, { heldOnly: task.heldOnly });
      }
      case 'solve': {
        const task = given(request.solve, 'solve');
        const heldOut = task.heldOut === null ? null : await sums(task.heldOut, paths);
        const settings = parseTuningSettings(task.settingsJson);
        within('states', task.states.length, 0, MOST_GIVEN_STATES);
        requireChainable(task);
        const first = {
          ...(await this.tuning(task, paths)),
          fit: await sums(given(task.fit, 'fit'), paths),
          heldOut,
          settings,
          given: task.states.map(({ shards, blob }) => ({
            shards: range(shards),
            path: pathOf(given(blob, 'states').digest, paths),
          })),
        };
        const next = task.next.map(({ layer, subLayer: name }) => ({ layer, subLayer: subLayer(name) }));
        return runSolves(context, first, next, onPart);
      }
      case 'refitEquations': {
        const task = given(request.refitEquations, 'refit_equations');
        return runRefitEquations(context, await readRefitEquations(task, paths, this.sources));
      }
      case 'refit': {
        const task = given(request.refit, 'refit');
        return runRefits(context, await readRefit(task, paths, this.sources), readNext(task), onPart);
      }
      case 'latency': {
        const task = given(request.latency, 'latency');
        const local = model(task.model, paths);
        const { config } = await this.models.dense(local);
        within('batch_size', task.batchSize, 1, MOST_BATCH_TOKENS);
        within('tokens', task.tokens, 1, Math.min(config.maxTokens, Math.floor(MOST_BATCH_TOKENS / task.batchSize)));
        within('repeats', task.repeats, 1, MOST_REPEATS);
        within('students and models', task.students.length + task.models.length, 0, MOST_TIMED);
        within('least_seconds', task.leastSeconds, 0, MOST_LEAST_SECONDS);
        within('threads', task.threads, 0, MOST_THREADS);
        const students = await Promise.all(
          task.students.map((set) => (isDense(set) ? null : this.student(local, set, paths))),
        );
        return runLatency(context, {
          model: local,
          students,
          models: task.models.map((ref) => model(ref, paths)),
          runtime: runtimeName(task.runtime),
          batchSize: task.batchSize,
          tokens: task.tokens,
          repeats: task.repeats,
          leastSeconds: task.leastSeconds,
          threads: task.threads,
        });
      }
      default:
        throw new EspalierError(
          'protocol',
          `${request.taskId}: got no task, expected one of fisher, gradients, normal_equations, solve, refit_equations, refit, evaluate, evaluate_onnx, latency, activations`,
        );
    }
  }

  private async tuning(
    task: {
      model: ModelRef__Output | null;
      plan: BlobRef__Output | null;
      teacher: MaskSet__Output | null;
      student: MaskSet__Output | null;
      layer: number;
      subLayer: string;
    },
    paths: BlobPaths,
  ): Promise<TuningInput> {
    const local = model(task.model, paths);
    return {
      model: local,
      plan: await this.plan(task.plan, paths),
      planDigest: given(task.plan, 'plan').digest,
      teacher: await this.masks(local, given(task.teacher, 'teacher')),
      student: await this.masks(local, given(task.student, 'student')),
      layer: task.layer,
      subLayer: subLayer(task.subLayer),
    };
  }

  private async plan(ref: BlobRef__Output | null, paths: BlobPaths): Promise<Plan> {
    const { digest } = given(ref, 'plan');
    let plan = this.plans.get(digest);
    if (plan === undefined) {
      plan = decodePlan(await readFile(pathOf(digest, paths)));
      for (const oldest of this.plans.keys()) if (this.plans.size >= 4) this.plans.delete(oldest);
    } else this.plans.delete(digest);
    this.plans.set(digest, plan);
    return plan;
  }

  private async masks(local: LocalModel, set: MaskSet__Output): Promise<Masks> {
    return readMasks((await this.models.dense(local)).config, set);
  }

  private async student(local: LocalModel, set: MaskSet__Output, paths: BlobPaths): Promise<StoredStudent> {
    return readStudent((await this.models.dense(local)).config, set, paths, this.models.fitted);
  }
}

// As it is: what masks leave of a model that is pruned already cannot be told.
function isDense({ headMask, neuronMask, patches }: MaskSet__Output): boolean {
  return headMask.length + neuronMask.length + patches.length === 0;
}

function runtimeName(text: string): 'engine' | 'onnxruntime' {
  if (text !== '' && text !== 'engine' && text !== 'onnxruntime')
    throw new EspalierError('protocol', `runtime: got "${text}", expected "engine" or "onnxruntime"`);
  return text === '' ? 'engine' : text;
}

function precisionOf(text: string): Precision {
  if (text !== '' && text !== 'float32' && text !== 'tf32')
    throw new EspalierError('protocol', `precision: got "${text}", expected "float32" or "tf32"`);
  return text === '' ? 'float32' : text;
}

function matrixType(text: string): 'F32' | 'F16' {
  if (text !== 'F32' && text !== 'F16')
    throw new EspalierError('protocol', `dtype: got "${text}", expected "F32" or "F16"`);
  return text;
}
