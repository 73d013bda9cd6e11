// Stage "latency": measured speed. Forward passes of the dense model and of each pruned one, as it was written, in turn on one
// worker that does nothing else: in ONNX Runtime and in the engine, at every shape that was asked for.
import { type ErrorCode, type EspalierError, toEspalierError } from '../../shared/errors.ts';
import type { JobContext } from '../job/job-context.ts';
import type { ModelBlobs } from '../job/model-blobs.ts';
import { type Spread, spreadOf } from '../job/spread.ts';
import { type PassShape, type TimedOn, timeModels } from '../job/time-models.ts';
import { meanTokens, passShapes } from '../job/timing-settings.ts';
import { RUNTIMES, type RuntimeName, type TimingSettings } from '../prune-settings.ts';

/** One pruned model against the dense one, in one run. */
export interface MeasuredSpeed extends PassShape, TimedOn {
  readonly runtime: RuntimeName;
  /** Passes of each. */
  readonly repeats: number;
  /** What the rows of a batch hold. */
  readonly input: 'valid token ids, no padding';
  /** Seconds of a pass. */
  readonly dense: Spread;
  readonly pruned: Spread;
  /** Median of the pruned model by that of the dense one. */
  readonly ratio: number;
}

const REPEATS = 15;
/** Passes of small models take less than a clock's noise: more of them are timed. */
const LEAST_SECONDS = 0.2;

/** Failures that say something about a runtime on a worker, and nothing about the models. */
const UNMEASURABLE: ReadonlySet<ErrorCode> = new Set([
  'engine',
  'runtime_missing',
  'disk_full',
  'output_unwritable',
  'out_of_memory',
]);

/** @param written the pruned models.
 * @returns for each of them what was measured; a runtime that a worker cannot use is told of and left out. */
export async function latencyStage(
  context: JobContext,
  written: readonly ModelBlobs[],
  timing: TimingSettings,
): Promise<readonly (readonly MeasuredSpeed[])[]> {
  const { emit, checkpoint, calibration } = context;
  const shapes = passShapes(timing, checkpoint.config, meanTokens(calibration.plan));
  const steps = written.length * shapes.length * RUNTIMES.length;
  emit({ kind: 'stage-started', stage: 'latency', steps });
  const start = performance.now();
  let done = 0;
  const measured: MeasuredSpeed[][] = written.map(() => []);
  // What no worker has for one model, none has for the next.
  const missing = new Set<RuntimeName>();
  for (const runtime of RUNTIMES)
    for (const shape of shapes)
      for (const [i, model] of written.entries()) {
        if (!missing.has(runtime)) {
          const speed = await measureSpeed(context, model, runtime, shape, timing, i).catch((caught) => {
            const error = unmeasured(context, runtime, caught);
            if (error.code === 'runtime_missing') missing.add(runtime);
            return null;
          });
          if (speed !== null) measured[i].push(speed);
        }
        emit({ kind: 'stage-progress', stage: 'latency', done: ++done, steps });
      }
  emit({ kind: 'stage-finished', stage: 'latency', seconds: (performance.now() - start) / 1000, reused: false });
  return measured;
}

async function measureSpeed(
  context: JobContext,
  written: ModelBlobs,
  runtime: RuntimeName,
  shape: PassShape,
  { threads }: TimingSettings,
  position: number,
): Promise<MeasuredSpeed> {
  const id = `latency/${runtime}/${shape.batchSize}x${shape.tokens}/${position}`;
  const timed = { model: context.model, students: [null], models: [written] };
  const timing = { runtime, threads, ...shape, repeats: REPEATS, leastSeconds: LEAST_SECONDS };
  const { seconds, on } = await timeModels(context, id, timed, timing);
  const [dense, pruned] = seconds.map(spreadOf);
  const ratio = pruned.median / dense.median;
  const input = 'valid token ids, no padding';
  return { runtime, ...on, ...shape, repeats: seconds[0].length, input, dense, pruned, ratio };
}

/** Tells of a speed that could not be measured. @throws what was caught, where a job does not go on without it. */
function unmeasured({ emit }: JobContext, runtime: RuntimeName, caught: unknown): EspalierError {
  const error = toEspalierError(caught);
  if (runtime !== 'onnxruntime' || !UNMEASURABLE.has(error.code)) throw caught;
  emit({ kind: 'notice', text: `speed in ONNX Runtime was not measured: ${error.line}` });
  return error;
}
