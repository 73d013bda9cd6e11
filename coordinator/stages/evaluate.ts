// Stage "evaluate": outputs of a model over planned samples, from all workers, and their scores.
import type { OnnxWeightDType } from '../../checkpoint/onnx/onnx-model.ts';
import { hasHeadDense } from '../../checkpoint/weight-names.ts';
import type { ShardSpan } from '../../pruning/fold-tree.ts';
import type { BlobRef } from '../../shared/rpc/protocol.ts';
import type { Evaluation, PlannedSamples, TaskEnvironment } from '../job/job-context.ts';
import { TASK_DEADLINE_MS } from '../job/job-context.ts';
import { blobRef, type ModelBlobs } from '../job/model-blobs.ts';
import { resultTensor } from '../job/result-tensor.ts';
import { type Student, studentBlobs, studentSet } from '../job/student.ts';
import type { TaskSpec } from '../workers/task-spec.ts';

/** What of a model computes: the checkpoint as it is, or a student of it, or its ONNX file in ONNX Runtime. */
export type ModelForm = Student | OnnxFile | null;

export interface OnnxFile {
  readonly dtype: OnnxWeightDType;
  /** SHA-256 of the file, and of that beside it where it has one. */
  readonly digests: readonly string[];
}

export interface OutputsOptions {
  readonly progress?: ((done: number) => void) | undefined;
  /** Shards of the plan; left out: all. */
  readonly span?: ShardSpan;
  /** Of products on a GPU; left out: float32. An ONNX file has its own. */
  readonly precision?: 'float32' | 'tf32';
}

/** Logits of every sample in plan order: [outputs], or [tokens · outputs] where the task is by token.
 * @throws EspalierError "not_finite" when a model gives numbers that are not, "protocol" for an answer of another size. */
export async function modelOutputs(
  environment: TaskEnvironment,
  model: ModelBlobs,
  form: ModelForm,
  samples: PlannedSamples,
  options: OutputsOptions = {},
): Promise<Float32Array[]> {
  const { plan, blob } = samples;
  const { progress = () => {}, span = { first: 0, end: plan.shards.length }, precision = 'float32' } = options;
  const shards = Array.from({ length: span.end - span.first }, (_, i) => span.first + i);
  const tasks = shards.map(
    (shard): TaskSpec => ({
      id: `evaluate/${shard}`,
      blobs: [...model.blobs, blob, ...(isStudent(form) ? studentBlobs(form) : [])],
      request: requestOf(form, precision, {
        model: model.ref,
        plan: blobRef(blob),
        shards: { first: shard, end: shard + 1 },
      }),
      deadlineMs: TASK_DEADLINE_MS,
    }),
  );
  let done = 0;
  const results = await environment.workers.runTasks(tasks, {
    signal: environment.signal,
    onDone: () => progress(++done),
  });
  return results.flatMap((result, i) => {
    const { firstSample, endSample } = plan.shards[shards[i]];
    const { outputs } = model.config;
    const byToken = !hasHeadDense(model.config);
    const lengths = plan.samples
      .slice(firstSample, endSample)
      .map(({ tokenIds }) => (byToken ? tokenIds.length : 1) * outputs);
    const length = lengths.reduce((sum, own) => sum + own, 0);
    const logits = resultTensor(result, tasks[i].id, 'logits', { dtype: 'F32', length });
    let offset = 0;
    return lengths.map((own) => {
      offset += own;
      return logits.subarray(offset - own, offset);
    });
  });
}

function isStudent(form: ModelForm): form is Student {
  return form !== null && 'patches' in form;
}

function requestOf(
  form: ModelForm,
  precision: string,
  on: { readonly model: ModelBlobs['ref']; readonly plan: BlobRef; readonly shards: { first: number; end: number } },
): TaskSpec['request'] {
  if (form !== null && 'digests' in form)
    return { evaluateOnnx: { ...on, dtype: form.dtype, digests: [...form.digests] } };
  return { evaluate: { ...on, student: form === null ? null : studentSet(form), precision } };
}

/** All metrics of the task for a model, and which of them comes first. */
export async function measureQuality(
  environment: TaskEnvironment,
  model: ModelBlobs,
  form: ModelForm,
  evaluation: Evaluation & PlannedSamples,
  progress?: (done: number) => void,
): Promise<{ primary: string; values: Readonly<Record<string, number>> }> {
  const outputs = await modelOutputs(environment, model, form, evaluation, { progress });
  return evaluation.encoded.score(outputs, evaluation.metric);
}
