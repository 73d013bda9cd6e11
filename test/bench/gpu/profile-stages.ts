// The process that tells where a stage's seconds go, by TensorFlow operation. What the host takes is of the run as it is. For what the
// device takes it is waited for before and after each call, so that sum is more than the stage takes, by what an idle device costs.
import path from 'node:path';
import { BlobStore } from '../../../shared/blobs/blob-store.ts';
import { EspalierError } from '../../../shared/errors.ts';
import { Releases } from '../../../shared/lifecycle.ts';
import { parseWorkerConfig } from '../../../worker/config.ts';
import { loadBinding, type TensorflowBinding } from '../../../worker/engine/binding.ts';
import { Engine, FLOAT } from '../../../worker/engine/engine.ts';
import { openKernels } from '../../../worker/engine/kernels/open-kernels.ts';
import { Ops } from '../../../worker/engine/ops.ts';
import { setEngineEnvironment } from '../../../worker/engine-executor.ts';
import { hostMemoryBytes } from '../../../worker/engine-memory.ts';
import type { TaskExecutor } from '../../../worker/task-executor.ts';
import { bindingWith, goesUp } from '../../support/binding-with.ts';
import { answerParent } from './child.ts';
import { executorHere } from './executor-here.ts';
import type { CallFigures, StageProfile } from './figures.ts';
import type { TimeWindow } from './kernel-trace.ts';
import { prepareWorkload } from './prepare-workload.ts';
import type { StagesStart } from './run-stages.ts';

export interface StageProfiled {
  readonly profile: StageProfile;
  /** When the run as it is was. */
  readonly plain: TimeWindow;
}

const BLOB_LIMIT_BYTES = 1e11;

answerParent<StagesStart, StageProfiled[]>(async (start) => {
  const releases = new Releases();
  try {
    return await profile(start, releases);
  } finally {
    await releases.run();
  }
});

async function profile(start: StagesStart, releases: Releases): Promise<StageProfiled[]> {
  const { files, folder, device, stages } = start;
  const blobs = await BlobStore.open(path.join(folder, 'blobs'), { limitBytes: BLOB_LIMIT_BYTES });
  const command = parseWorkerConfig(['--device', device, '--blob-dir', path.join(folder, 'blobs')], process.env);
  if (command.kind === 'help') throw new Error('worker configuration: got its help');
  setEngineEnvironment(command.config);
  const calls = new CallTimes(loadBinding());
  const engine = new Engine(calls.binding);
  const { kernels } = openKernels(new Ops(engine), command.config.kernels);
  const own = executorHere(engine, kernels, blobs, hostMemoryBytes());
  let taskSeconds = 0;
  const executor: TaskExecutor = {
    ...own,
    async run(...args) {
      const begun = performance.now();
      const tensors = await own.run(...args);
      taskSeconds += (performance.now() - begun) / 1000;
      return tensors;
    },
  };
  const deviceClass = executor.describe().deviceClass;
  if (device === 'gpu' && deviceClass.kind === 'cpu')
    throw new EspalierError('engine', 'got no usable GPU, expected one');
  const options = { folder, device, deviceClass, blobs, executor };
  const { planned, tasks, gradual } = await prepareWorkload(files, options, releases);

  const found: StageProfiled[] = [];
  const measure = async (stage: StageProfile['stage'], run: () => Promise<unknown>) => {
    await run();
    calls.begin('host');
    taskSeconds = 0;
    const plainStart = performance.now();
    await run();
    const plainEnd = performance.now();
    const host = { taskSeconds, calls: calls.end() };
    calls.begin('device');
    const profiledStart = performance.now();
    await run();
    const profiledSeconds = (performance.now() - profiledStart) / 1000;
    const { timeOrigin } = performance;
    const plain = { start: timeOrigin + plainStart, end: timeOrigin + plainEnd };
    const plainSeconds = (plainEnd - plainStart) / 1000;
    found.push({ plain, profile: { stage, plainSeconds, host, profiledSeconds, calls: calls.end() } });
  };
  if (stages.includes('fisher')) await measure('fisher', () => tasks.fisher());
  if (stages.some((stage) => stage === 'tune' || stage === 'normal-equations' || stage === 'solve'))
    await measure('tune', () => tasks.tune());
  if (stages.includes('evaluate'))
    await measure('evaluate', () => tasks.evaluate(planned.plan.shards.map((_, shard) => shard)));
  if (stages.includes('gradients')) await measure('gradients', () => gradual.tasks.gradients());
  if (stages.includes('refit')) await measure('refit', () => gradual.tasks.refit());
  return found;
}

/** Of the host: how long a call kept the calling thread. Of the device: with the device waited for around each call. */
type TimedSide = 'host' | 'device';

/** A binding whose calls are timed between `begin` and `end`. */
class CallTimes {
  readonly binding: TensorflowBinding;
  private readonly real: TensorflowBinding;
  private readonly probe: number;
  private side: TimedSide | null = null;
  private times = new Map<string, { calls: number; seconds: number }>();

  constructor(real: TensorflowBinding) {
    this.real = real;
    this.probe = real.createTensor([1], FLOAT, Float32Array.of(1));
    const timed = {
      executeOp: (...args: Parameters<TensorflowBinding['executeOp']>) =>
        this.timed(args[0], () => real.executeOp(...args)),
      createTensor: (...args: Parameters<TensorflowBinding['createTensor']>) =>
        this.timed(goesUp(args[1]) ? '(upload)' : '(number for the host)', () => real.createTensor(...args)),
      tensorDataSync: (id: number) => this.timed('(download)', () => real.tensorDataSync(id)),
      // Nothing that the device could be waited for.
      deleteTensor: (id: number) =>
        this.side === 'host' ? this.timed('(release)', () => real.deleteTensor(id)) : real.deleteTensor(id),
    };
    this.binding = bindingWith(real, timed);
  }

  begin(side: TimedSide): void {
    this.side = side;
    this.times = new Map();
  }

  /** The calls since `begin`, the longest first. */
  end(): CallFigures[] {
    this.side = null;
    const found = [...this.times].map(([name, figures]) => ({ name, ...figures }));
    return found.sort((a, b) => b.seconds - a.seconds);
  }

  private timed<T>(name: string, call: () => T): T {
    const { side } = this;
    if (side === null) return call();
    if (side === 'device') this.wait();
    const start = performance.now();
    const result = call();
    if (side === 'device') this.wait();
    const seconds = (performance.now() - start) / 1000;
    const before = this.times.get(name) ?? { calls: 0, seconds: 0 };
    this.times.set(name, { calls: before.calls + 1, seconds: before.seconds + seconds });
    return result;
  }

  // A number that an operation on the device has made says that all before it are done.
  private wait(): void {
    const { real } = this;
    const type = { name: 'T', type: real.TF_ATTR_TYPE, value: FLOAT };
    const [made] = real.executeOp('Neg', [type], [this.probe], 1);
    real.tensorDataSync(made.id);
    real.deleteTensor(made.id);
  }
}
