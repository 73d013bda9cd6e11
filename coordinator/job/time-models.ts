// Forward passes of several models, timed in turn by one worker that does nothing else.
import type { Masks } from '../../pruning/masks.ts';
import { EspalierError } from '../../shared/errors.ts';
import { isJsonObject } from '../../shared/json-object.ts';
import type { RuntimeName } from '../prune-settings.ts';
import type { TaskResult } from '../workers/task-spec.ts';
import type { TaskEnvironment } from './job-context.ts';
import { maskSet } from './mask-set.ts';
import type { ModelBlobs } from './model-blobs.ts';
import { areFinite } from './result-tensor.ts';

/** Longest that one task may time: large models in long rows on one core. */
const TIMING_DEADLINE_MS = 3_600_000;

/** What every pass computes. */
export interface PassShape {
  readonly batchSize: number;
  /** Tokens a row, none of it padding. */
  readonly tokens: number;
}

export interface Timing extends PassShape {
  readonly runtime: RuntimeName;
  /** Of ONNX Runtime; 0: its own choice. */
  readonly threads: number;
  /** Rounds at least. */
  readonly repeats: number;
  /** Rounds go on until they took this long together. */
  readonly leastSeconds: number;
}

/** What computed, as the worker tells it. */
export interface TimedOn {
  readonly version: string;
  readonly provider: string;
  readonly threads: number;
  readonly machine: string;
}

export interface TimedModels {
  /** Of each model, a value a round: the students' first, then the models'. */
  readonly seconds: readonly Float64Array[];
  readonly on: TimedOn;
}

/** Times them, and nothing else on their machine meanwhile.
 * @param id of the task. @param students masks of `model`; null: all of it. @param models checkpoints as they are.
 * @throws EspalierError "protocol" for an answer that is none. */
export async function timeModels(
  { workers, signal }: Pick<TaskEnvironment, 'workers' | 'signal'>,
  id: string,
  timed: {
    readonly model: ModelBlobs;
    readonly students: readonly (Masks | null)[];
    readonly models?: readonly ModelBlobs[];
  },
  timing: Timing,
): Promise<TimedModels> {
  const { model, students, models = [] } = timed;
  const none = Buffer.alloc(0);
  const dense = { headMask: none, neuronMask: none, headScales: none, neuronScales: none };
  const latency = {
    model: model.ref,
    students: students.map((masks) => (masks === null ? dense : maskSet(masks))),
    models: models.map(({ ref }) => ref),
    ...timing,
  };
  const blobs = [model, ...models].flatMap((own) => own.blobs);
  const [result] = await workers.runTasks(
    [{ id, blobs, request: { latency }, exclusive: true, deadlineMs: TIMING_DEADLINE_MS }],
    { signal },
  );
  return readTimes(id, result, students.length + models.length, timing.repeats);
}

function readTimes(id: string, result: TaskResult, count: number, repeats: number): TimedModels {
  const values = result.get('seconds')?.data;
  const rounds = values instanceof Float64Array && count > 0 ? values.length / count : 0;
  if (!(values instanceof Float64Array) || !Number.isInteger(rounds) || (count > 0 && rounds < repeats))
    throw new EspalierError(
      'protocol',
      `${id}: seconds: got ${values === undefined ? 'nothing' : `${values.length} values`}, expected at least ${repeats} for each of ${count} models`,
    );
  if (!areFinite(values) || values.some((value) => value <= 0))
    throw new EspalierError('protocol', `${id}: seconds: got a value that is no duration`);
  const seconds = Array.from({ length: count }, (_, i) => values.slice(i * rounds, (i + 1) * rounds));
  return { seconds, on: readAbout(id, result.get('runtime')?.data) };
}

// It goes into the user's report and into keys of tables.
function readAbout(id: string, bytes: unknown): TimedOn {
  const refuse = (cause?: unknown) =>
    new EspalierError('protocol', `${id}: runtime: got no description of a runtime, expected one`, { cause });
  if (!(bytes instanceof Uint8Array)) throw refuse();
  let told: unknown;
  try {
    told = JSON.parse(new TextDecoder().decode(bytes));
  } catch (cause) {
    throw refuse(cause);
  }
  if (!isJsonObject(told)) throw refuse();
  const { version, provider, threads, machine } = told;
  const texts = [version, provider, machine];
  if (!texts.every((text) => typeof text === 'string' && text.length > 0 && text.length <= 150)) throw refuse();
  if (!Number.isSafeInteger(threads) || (threads as number) < 1) throw refuse();
  return { version, provider, threads, machine } as TimedOn;
}
