// Loads TensorFlow's native binding out of @tensorflow/tfjs-node-gpu: the only importer of that package. The binding is
// driven directly, without tfjs's op layer: an operation's call costs a third less, and float64 tensors, which tfjs
// cannot hold, work like all others (docs/adr/0002-engine.md). Loads, too, the library of Espalier's own operations that
// the set-up compiled beside it (docs/adr/0024-fused-operations.md).
import { realpathSync } from 'node:fs';
import { createRequire } from 'node:module';
import { EspalierError } from '../../shared/errors.ts';
import { type PreparedCalls, withPreparedOps } from './prepared-ops.ts';

/** A tensor that lives in TensorFlow. */
export interface TensorMetadata {
  readonly id: number;
  readonly shape: number[];
  readonly dtype: number;
}

export interface OpAttribute {
  readonly name: string;
  readonly type: number;
  readonly value: boolean | number;
}

/** What the allocator of the device that computes tells, in bytes; null: it does not. */
export interface DeviceMemory {
  /** What it may take in all: of a GPU, most of what was free when it was opened, or the limit that was set. */
  readonly limitBytes: number | null;
  readonly usedBytes: number | null;
  /** The most that was in use at once. */
  readonly peakBytes: number | null;
}

export interface TensorflowBinding {
  createTensor(shape: number[], dtype: number, data: Float32Array | Int32Array): number;
  deleteTensor(id: number): void;
  tensorDataSync(id: number): Float32Array | Int32Array | Uint8Array;
  /** Brings a float32 tensor to the host while the caller goes on. @returns what waits for it, to be called once. Not there in a binding
   * of an older set-up. */
  readonly beginDownload?: ((id: number) => () => Float32Array) | undefined;
  executeOp(name: string, attributes: OpAttribute[], inputs: number[], outputs: number): TensorMetadata[];
  getNumOfTensors(): number;
  isUsingGpuDevice(): boolean;
  deviceMemory(): DeviceMemory;
  readonly TF_Version: string;
  readonly TF_ATTR_TYPE: number;
  readonly TF_ATTR_BOOL: number;
  readonly TF_ATTR_INT: number;
  readonly TF_ATTR_FLOAT: number;
}

const SET_UP = 'run `npm run setup`';

/** What the library of own operations has beside them. */
export interface OpsLibrary {
  /** The TensorFlow that it was compiled for: no other's operations have the same form in memory. */
  readonly tensorflowVersion: string;
  /** Whether float32 products may round their inputs to TF32 on a GPU; process-wide, off when the library is loaded. */
  allowTf32(allowed: boolean): void;
  /** Of the first GPU, 90 for 9.0. @throws Error where there is none. */
  computeCapability(): number;
  /** The operations' code for GPUs, in CUDA C++. */
  kernelSource(): Buffer;
  /** The same as PTX for compute capability 8.0 and above, compressed by gzip. */
  kernelPtx(): Buffer;
  /** The same compiled by NVRTC. @param architecture sm_90 for a cubin, compute_90 for PTX. @throws Error. */
  compileKernels(architecture: string): Buffer;
  /** The cubin or PTX that operations on a GPU run from now on. */
  setKernels(image: Buffer): void;
}

export type LoadedOps =
  | { readonly library: OpsLibrary; readonly problem: null }
  | { readonly library: null; readonly problem: string };

let loadedOps: LoadedOps | undefined;

/** The library of own operations, once a thread; where it cannot be had, why. */
export function loadOps(): LoadedOps {
  loadedOps ??= openOps();
  return loadedOps;
}

function openOps(): LoadedOps {
  const require = createRequire(import.meta.url);
  try {
    // A copy under another name would register every operation twice: the loader knows a library by its path.
    const file = realpathSync(require.resolve('@tensorflow/tfjs-node-gpu/lib/napi-v8/espalier_ops.node'));
    return { library: require(file) as OpsLibrary, problem: null };
  } catch (cause) {
    return { library: null, problem: reasonOf(cause) };
  }
}

/** Loads the binding that the set-up compiled. TensorFlow reads its environment (threads, log level, GPU) here, once a
 * process. @throws EspalierError "engine" when it is not there or cannot be loaded. */
export function loadBinding(): TensorflowBinding {
  // TF32 rounds the inputs of products to 10 bits, too coarse for normal equations. Without the library's switch it stays off
  // by NVIDIA's variable, which has to be there before CUDA is.
  if (loadOps().library === null) process.env.NVIDIA_TF32_OVERRIDE ??= '0';
  const require = createRequire(import.meta.url);
  let binding: Partial<TensorflowBinding & PreparedCalls>;
  try {
    binding = require('@tensorflow/tfjs-node-gpu/lib/napi-v8/tfjs_binding.node');
  } catch (cause) {
    throw new EspalierError('engine', `tensorflow's binding cannot be loaded: ${reasonOf(cause)}`, {
      cause,
      action: SET_UP,
    });
  }
  if (binding.deviceMemory === undefined)
    throw new EspalierError('engine', "got tensorflow's binding of an older set-up", { action: SET_UP });
  return withPreparedOps(binding as TensorflowBinding & Partial<PreparedCalls>);
}

function reasonOf(cause: unknown): string {
  return cause instanceof Error ? cause.message.split('\n')[0]! : String(cause);
}
