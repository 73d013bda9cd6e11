// The engine's thread: owns TensorFlow and everything on the device. TensorFlow's calls block, so gRPC lives elsewhere.
import { parentPort, workerData } from 'node:worker_threads';
import { EspalierError, toEspalierError } from '../shared/errors.ts';
import type { NamedTensor } from '../shared/tensor.ts';
import { Engine } from './engine/engine.ts';
import { openKernels } from './engine/kernels/open-kernels.ts';
import { Ops } from './engine/ops.ts';
import { engineMemoryBytes, STATE_SHARE } from './engine-memory.ts';
import type { EngineThreadData, FromEngine, ToEngine } from './engine-messages.ts';
import { Forward } from './model/forward.ts';
import { ModelCache } from './model/model-cache.ts';
import { RequestRunner } from './tasks/read-request.ts';
import type { TaskContext } from './tasks/task-context.ts';
import { warmUp } from './tasks/warm-up.ts';
import { TuningStates } from './tuning/tuning-states.ts';

const port = parentPort;
if (port === null) throw new EspalierError('internal', 'engine thread: got no parent, expected one');
const data = workerData as EngineThreadData;
const cancelled = new Int32Array(data.cancelled);
let running = 0;

try {
  const engine = new Engine();
  const gpu = engine.binding.isUsingGpuDevice();
  if (data.requireGpu && !gpu)
    throw new EspalierError('engine', 'got no usable GPU, expected one', {
      action: 'check the NVIDIA driver and run `ESPALIER_DEVICE=gpu npm run setup`, or choose --device cpu',
    });
  const gpuMemoryBytes = gpu ? engine.binding.deviceMemory().limitBytes : null;
  const memoryBytes = engineMemoryBytes(data.memoryBytes, gpuMemoryBytes);
  const ops = new Ops(engine);
  const { kernels, problem } = openKernels(ops, data.kernels);
  const forward = new Forward(ops, kernels);
  const checkCancelled = () => {
    if (Atomics.load(cancelled, 0) === running)
      throw new EspalierError('cancelled', 'nobody waits for this task any more');
  };
  const context: TaskContext = {
    engine,
    ops,
    forward,
    models: new ModelCache(ops, checkCancelled),
    states: new TuningStates(forward, memoryBytes * STATE_SHARE, checkCancelled),
    checkCancelled,
  };
  const runner = new RequestRunner(context);
  port.on('message', (message: ToEngine) => void answer(runner, context, message));
  tell({
    kind: 'ready',
    device: {
      kind: gpu ? 'gpu' : 'cpu',
      tensorflowVersion: engine.binding.TF_Version,
      kernels: kernels.kind,
      tf32: engine.allowsTf32,
    },
    kernelsProblem: problem,
    memoryBytes,
    gpuMemoryBytes,
  });
} catch (caught) {
  const { code, message, action } = toEspalierError(caught);
  tell({ kind: 'failed', run: 0, code, message, action, models: [], peakBytes: null });
}

async function answer(runner: RequestRunner, context: TaskContext, message: ToEngine): Promise<void> {
  const { engine, models } = context;
  const { run } = message;
  running = run;
  try {
    const tensors = await computed(runner, context, message);
    const { peakBytes } = engine.binding.deviceMemory();
    tell({ kind: 'done', run, tensors, models: models.digests(), peakBytes }, tensors);
  } catch (caught) {
    const error = toEspalierError(caught);
    if (error.code === 'internal') process.stderr.write(`${error.stack}\n`);
    tell({
      kind: 'failed',
      run,
      code: error.code,
      message: error.message,
      action: error.action,
      models: models.digests(),
      peakBytes: engine.binding.deviceMemory().peakBytes,
    });
  }
}

async function computed(runner: RequestRunner, context: TaskContext, message: ToEngine): Promise<NamedTensor[]> {
  if (message.kind === 'task') {
    const { run, request, paths } = message;
    return runner.run(request, paths, (tensors) => tell({ kind: 'part', run, tensors }, tensors));
  }
  if (message.kind === 'load') await context.models.dense(message.model);
  else await warmUp(context, message.part, message.sizes);
  return [];
}

// Buffers move to the other thread without a copy; one that several tensors share, or that is larger than what it
// holds, is copied.
function tell(message: FromEngine, tensors: readonly NamedTensor[] = []): void {
  const whole = tensors.filter(
    ({ data: part }) => part.byteLength === part.buffer.byteLength && part.buffer instanceof ArrayBuffer,
  );
  const buffers = new Set(whole.map(({ data: part }) => part.buffer as ArrayBuffer));
  port!.postMessage(message, [...buffers]);
}
