// Task "latency": measured forward passes of several models in turn, on a device that does nothing else meanwhile.
import type { NamedTensor } from '../../shared/tensor.ts';
import { machineName } from '../device.ts';
import type { LocalModel } from '../model/local-model.ts';
import type { StoredStudent } from '../model/student.ts';
import { engineRuntime } from '../runtimes/engine.ts';
import { onnxRuntime } from '../runtimes/onnxruntime.ts';
import type { Runtime, TimedModel } from '../runtimes/runtime.ts';
import { timeInTurn } from '../runtimes/time-in-turn.ts';
import type { TaskContext } from './task-context.ts';

export interface LatencyInput {
  readonly model: LocalModel;
  /** Of `model`; null: all of it. */
  readonly students: readonly (StoredStudent | null)[];
  /** Timed after them, as they are. */
  readonly models: readonly LocalModel[];
  readonly runtime: 'engine' | 'onnxruntime';
  readonly batchSize: number;
  readonly tokens: number;
  readonly repeats: number;
  readonly leastSeconds: number;
  /** Of ONNX Runtime; 0: its own choice. */
  readonly threads: number;
}

/** @returns "seconds" F64 [students + models, rounds], and "runtime": JSON of what computed and where. */
export async function runLatency(context: TaskContext, input: LatencyInput): Promise<NamedTensor[]> {
  const runtime =
    input.runtime === 'engine'
      ? engineRuntime(context, input.model)
      : await onnxRuntime({ threads: input.threads, checkCancelled: context.checkCancelled });
  const seconds = await timed(context, runtime, input);
  const rounds = seconds[0]?.length ?? 0;
  const data = new Float64Array(seconds.length * rounds);
  seconds.forEach((own, i) => {
    data.set(own, i * rounds);
  });
  const about = JSON.stringify({ ...runtime.about, machine: machineName(runtime.about.provider) });
  const text = new TextEncoder().encode(about);
  return [
    { name: 'seconds', dtype: 'F64', shape: [seconds.length, rounds], data },
    { name: 'runtime', dtype: 'U8', shape: [text.length], data: text },
  ];
}

async function timed(
  { checkCancelled }: TaskContext,
  runtime: Runtime,
  { model, students, models, batchSize, tokens, repeats, leastSeconds }: LatencyInput,
): Promise<Float64Array[]> {
  const sources = [
    ...students.map((student) => ({ model, student })),
    ...models.map((own) => ({ model: own, student: null })),
  ];
  const opened: TimedModel[] = [];
  try {
    for (const source of sources) {
      checkCancelled();
      opened.push(await runtime.open(source, { batchSize, tokens }));
    }
    const passes = opened.map((own) => () => own.pass());
    return await timeInTurn(passes, { repeats, leastSeconds, now: () => performance.now(), checkCancelled });
  } finally {
    for (const own of opened) await own.close();
  }
}
