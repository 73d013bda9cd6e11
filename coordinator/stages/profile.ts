// Stage "profile": a latency table, measured on one worker that does nothing else, or taken from where it is known.
import type { ModelConfig } from '../../checkpoint/model-config.ts';
import { type LatencySetup, type LatencyTable, requireTableFor } from '../../pruning/latency-table.ts';
import { EspalierError } from '../../shared/errors.ts';
import type { TaskEnvironment } from '../job/job-context.ts';
import type { LatencyCache } from '../job/latency-cache.ts';
import type { ModelBlobs } from '../job/model-blobs.ts';
import { type ProfilePoint, pointMasks, profilePoints, tableOf } from '../job/profile-points.ts';
import { outliers, spreadOf } from '../job/spread.ts';
import { type PassShape, type TimedOn, timeModels } from '../job/time-models.ts';
import type { RuntimeName } from '../prune-settings.ts';

/** What is profiled. */
export interface ProfileRequest extends PassShape {
  readonly runtime: RuntimeName;
  /** Of ONNX Runtime; 0: its own choice. */
  readonly threads: number;
}

/** Where tables come from beside measuring. */
export interface LatencyTables {
  /** What the user gives as the table of the target, what messages call it, and whether the target is said to be another
   * machine; null: nothing. */
  readonly given: { readonly table: LatencyTable; readonly file: string; readonly otherMachine: boolean } | null;
  /** null: none is kept. */
  readonly cache: LatencyCache | null;
}

export interface FoundTable {
  readonly table: LatencyTable;
  readonly source: 'given' | 'cached' | 'measured';
  /** The machine that tasks of this job are timed on. */
  readonly machine: string;
}

const MODELS_A_TASK = 3;
const REPEATS = 9;
const LEAST_SECONDS = 0.4;

/** The table for a model: the given one, else that of the cache, else measured and put into the cache.
 * @throws EspalierError "latency_table" for a given one of another runtime, shape, model or machine, unless it is said to be
 * of another machine. */
export async function findTable(
  environment: TaskEnvironment,
  model: ModelBlobs,
  request: ProfileRequest,
  tables: LatencyTables,
  progress: (done: number, steps: number) => void = () => {},
): Promise<FoundTable> {
  const on = await askRuntime(environment, model, request);
  const setup = setupOf(model.config, request, on);
  if (tables.given !== null) {
    const { table, file, otherMachine } = tables.given;
    if (!otherMachine && table.device !== setup.device)
      throw new EspalierError(
        'latency_table',
        `${file}: device: got ${table.device}, expected ${setup.device}, which measures here`,
        { action: 'give --other-machine when the model is for that machine, or measure a table on this one' },
      );
    // Another machine has threads and a version of the runtime of its own.
    const sameRuntime = table.runtime.split(' ')[0] === request.runtime ? table.runtime : setup.runtime;
    const theirs = { device: table.device, threads: table.threads, runtime: sameRuntime };
    requireTableFor(table, otherMachine ? { ...setup, ...theirs } : setup, file);
    return { table, source: 'given', machine: on.machine };
  }
  const cached = (await tables.cache?.read(setup)) ?? null;
  if (cached !== null) return { table: cached, source: 'cached', machine: on.machine };
  const table = await measureTable(environment, model, request, setup, progress);
  await tables.cache?.write(table).catch((caught: unknown) => {
    environment.emit({ kind: 'notice', text: `the latency table was not kept for later: ${String(caught)}` });
  });
  return { table, source: 'measured', machine: on.machine };
}

/** Measures a table: groups of pruned models in turn with the dense one, which tells what the machine was doing in each. */
export async function measureTable(
  environment: TaskEnvironment,
  model: ModelBlobs,
  request: ProfileRequest,
  setup: LatencySetup,
  progress: (done: number, steps: number) => void,
): Promise<LatencyTable> {
  const points = profilePoints(setup.model);
  const steps = Math.ceil(points.length / MODELS_A_TASK);
  const { heads, intermediateSize: neurons } = setup.model;
  const relative = new Map<string, number>();
  const denseMedians: number[] = [];
  let passes = 0;
  let odd = 0;
  for (let step = 0; step < steps; step++) {
    const group = points.slice(step * MODELS_A_TASK, (step + 1) * MODELS_A_TASK);
    const { seconds } = await timeModels(
      environment,
      `profile/${step}`,
      { model, students: [null, ...group.map((point) => pointMasks(point, setup.model))] },
      { ...request, repeats: REPEATS, leastSeconds: LEAST_SECONDS },
    );
    const [dense, ...others] = seconds;
    denseMedians.push(spreadOf(dense).median);
    // By the dense pass of the same round: what slows down a round slows down both.
    group.forEach((point, i) => {
      relative.set(keyOf(point), spreadOf(others[i].map((value, round) => value / dense[round])).median);
    });
    passes += seconds.length * seconds[0].length;
    odd += seconds.reduce((sum, own) => sum + outliers(own), 0);
    progress(step + 1, steps);
  }
  const dense = spreadOf(denseMedians).median;
  relative.set(keyOf({ heads, neurons }), 1);
  const { table, raised } = tableOf(setup, (point) => dense * relative.get(keyOf(point))!);
  const notices = [
    odd > passes / 10 && `${odd} of ${passes} timed passes were outliers: the machine did something else`,
    raised > 0 && `${raised} models took less time than those without heads or neurons, which counts as equal`,
  ];
  for (const text of notices) if (text) environment.emit({ kind: 'notice', text: `latency table: ${text}` });
  return table;
}

/** What would compute: a task that times nothing. */
function askRuntime(
  environment: TaskEnvironment,
  model: ModelBlobs,
  { runtime, threads, batchSize, tokens }: ProfileRequest,
): Promise<TimedOn> {
  const timing = { runtime, threads, batchSize, tokens, repeats: 1, leastSeconds: 0 };
  return timeModels(environment, 'profile/runtime', { model, students: [] }, timing).then(({ on }) => on);
}

function setupOf(config: ModelConfig, { runtime, batchSize, tokens }: ProfileRequest, on: TimedOn): LatencySetup {
  const { modelType: type, layers, hiddenSize, heads, headSize, intermediateSize, activation } = config;
  return {
    runtime: `${runtime} ${on.version}`,
    device: on.machine,
    threads: on.threads,
    batchSize,
    tokens,
    model: { type, layers, hiddenSize, heads, headSize, intermediateSize, activation },
  };
}

function keyOf({ heads, neurons }: ProfilePoint): string {
  return `${heads} ${neurons}`;
}
