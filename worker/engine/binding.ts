// Loads TensorFlow's native binding out of @tensorflow/tfjs-node-gpu: the only importer of that package. The binding is
// driven directly, without tfjs's op layer: an operation's call costs a third less, and float64 tensors, which tfjs
// cannot hold, work like all others (docs/adr/0002-engine.md).
import { createRequire } from 'node:module';
import { EspalierError } from '../../shared/errors.ts';

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

export interface TensorflowBinding {
  createTensor(shape: number[], dtype: number, data: Float32Array | Int32Array): number;
  deleteTensor(id: number): void;
  tensorDataSync(id: number): Float32Array | Int32Array | Uint8Array;
  executeOp(name: string, attributes: OpAttribute[], inputs: number[], outputs: number): TensorMetadata[];
  getNumOfTensors(): number;
  isUsingGpuDevice(): boolean;
  readonly TF_Version: string;
  readonly TF_ATTR_TYPE: number;
  readonly TF_ATTR_BOOL: number;
  readonly TF_ATTR_INT: number;
  readonly TF_ATTR_FLOAT: number;
}

/** Loads the binding that the set-up compiled. TensorFlow reads its environment (threads, log level, GPU) here, once a
 * process. @throws EspalierError "engine" when it is not there or cannot be loaded. */
export function loadBinding(): TensorflowBinding {
  const require = createRequire(import.meta.url);
  try {
    return require('@tensorflow/tfjs-node-gpu/lib/napi-v8/tfjs_binding.node') as TensorflowBinding;
  } catch (cause) {
    const reason = cause instanceof Error ? cause.message.split('\n')[0] : String(cause);
    throw new EspalierError('engine', `tensorflow's binding cannot be loaded: ${reason}`, {
      cause,
      action: 'run `npm run setup`',
    });
  }
}
