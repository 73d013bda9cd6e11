// The process that measures what the device reaches at best, with a worker's engine and a worker's settings of it.
import { EspalierError } from '../../../shared/errors.ts';
import { type DeviceTensor, Engine } from '../../../worker/engine/engine.ts';
import { Ops } from '../../../worker/engine/ops.ts';
import { setEngineEnvironment } from '../../../worker/engine-executor.ts';
import { answerParent } from './child.ts';
import { type Limits, spreadOf } from './figures.ts';

export interface LimitsStart {
  readonly device: 'auto' | 'cpu' | 'gpu';
  /** Of one operation on a CPU. */
  readonly threads: number;
}

export interface LimitsFound {
  readonly kind: 'cpu' | 'gpu';
  readonly limits: Limits;
}

/** Large enough that starting an operation is nothing beside it. */
const SIZES = {
  cpu: { product: 1024, copyRows: 65_536 },
  gpu: { product: 8192, copyRows: 262_144 },
};
const COPY_COLUMNS = 1024;
const BLOCK = 999_983;
const FLOAT_BYTES = 4;
const ROUNDS = 5;
/** A round repeats an operation for as long. */
const ROUND_SECONDS = 0.2;

answerParent<LimitsStart, LimitsFound>(async (start) => {
  setEngineEnvironment(start);
  const engine = new Engine();
  const ops = new Ops(engine);
  const kind = engine.binding.isUsingGpuDevice() ? 'gpu' : 'cpu';
  if (start.device === 'gpu' && kind === 'cpu') throw new EspalierError('engine', 'got no usable GPU, expected one');
  const { product, copyRows } = SIZES[kind];
  const productSeconds = engine.scope(() => {
    const a = upload(engine, product, product);
    const b = upload(engine, product, product);
    return secondsOf(ops, () => ops.matMul(a, b));
  });
  const bytes = copyRows * COPY_COLUMNS * FLOAT_BYTES;
  const copySeconds = engine.scope(() => {
    const x = upload(engine, copyRows, COPY_COLUMNS);
    // TensorFlow's own copy shares memory; a change of sign reads and writes every number once.
    return secondsOf(ops, () => ops.neg(x));
  });
  const limits = {
    product: { size: product, teraflopPerSecond: (2 * product ** 3) / productSeconds / 1e12 },
    copy: { bytes, terabytesPerSecond: (2 * bytes) / copySeconds / 1e12 },
  };
  return { kind, limits };
});

/** Median seconds of an operation with a result [rows, columns], after a first one. */
function secondsOf(ops: Ops, compute: () => DeviceTensor): number {
  run(ops, compute, 1);
  const count = Math.max(1, Math.ceil(ROUND_SECONDS / run(ops, compute, 1)));
  return spreadOf(Array.from({ length: ROUNDS }, () => run(ops, compute, count) / count)).median;
}

// A device computes while the host goes on: only a number that was read back says that it is done.
function run(ops: Ops, compute: () => DeviceTensor, count: number): number {
  const { engine } = ops;
  return engine.scope(() => {
    const start = performance.now();
    for (let done = 1; done < count; done++) engine.dispose(compute());
    engine.downloadFloat32(ops.slice(compute(), [0, 0], [1, 1]));
    return (performance.now() - start) / 1000;
  });
}

// Numbers that differ: a GPU multiplies zeros with less power, and so faster. A block of them is repeated.
function upload(engine: Engine, rows: number, columns: number): DeviceTensor {
  let state = 1;
  const block = Float32Array.from({ length: BLOCK }, () => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return state / 2 ** 32 - 0.5;
  });
  const values = new Float32Array(rows * columns);
  for (let at = 0; at < values.length; at += BLOCK) values.set(block.subarray(0, values.length - at), at);
  return engine.upload(values, [rows, columns]);
}
