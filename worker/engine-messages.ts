// What the two threads of a worker tell each other: gRPC in front, the engine behind.
import type { ErrorCode } from '../shared/errors.ts';
import type { DeviceClass, RunRequest } from '../shared/rpc/protocol.ts';
import type { NamedTensor } from '../shared/tensor.ts';
import type { KernelsWanted } from './engine/kernels/kernels-wanted.ts';
import type { LocalModel } from './model/local-model.ts';
import type { BlobPaths } from './tasks/request-fields.ts';
import type { WarmUpPart, WarmUpSizes } from './tasks/warm-up-parts.ts';

/** What the engine's thread is started with. */
export interface EngineThreadData {
  /** Memory that the engine may use; null: all that a GPU's allocator may take, or what is free of the machine's. */
  readonly memoryBytes: number | null;
  /** True: fail at the start unless a GPU is in use. */
  readonly requireGpu: boolean;
  readonly kernels: KernelsWanted;
  /** Int32 [1]: number of the run that nobody waits for any more. */
  readonly cancelled: SharedArrayBuffer;
}

/** Each is answered before the next is sent. */
export type ToEngine =
  | { readonly kind: 'task'; readonly run: number; readonly request: RunRequest; readonly paths: BlobPaths }
  | { readonly kind: 'load'; readonly run: number; readonly model: LocalModel }
  | { readonly kind: 'warm-up'; readonly run: number; readonly part: WarmUpPart; readonly sizes: WarmUpSizes };

/** `models`: digests of the weight files that are in memory now. */
export type FromEngine =
  | {
      readonly kind: 'ready';
      readonly device: Omit<DeviceClass, 'model' | 'intraOpThreads' | 'memoryGb'>;
      /** Why kernels are plain although fused ones were welcome. */
      readonly kernelsProblem: string | null;
      /** Memory that the engine may use. */
      readonly memoryBytes: number;
      /** What a GPU's allocator may take; null: not known, or no GPU. */
      readonly gpuMemoryBytes: number | null;
    }
  | {
      /** Tensors of a result whose task goes on. */
      readonly kind: 'part';
      readonly run: number;
      readonly tensors: readonly NamedTensor[];
    }
  | {
      readonly kind: 'done';
      readonly run: number;
      readonly tensors: readonly NamedTensor[];
      readonly models: readonly string[];
      /** The most that the device's allocator had in use; null: it does not tell. */
      readonly peakBytes: number | null;
    }
  | {
      readonly kind: 'failed';
      readonly run: number;
      readonly code: ErrorCode;
      readonly message: string;
      readonly action: string;
      readonly models: readonly string[];
      /** The most that the device's allocator had in use; null: it does not tell. */
      readonly peakBytes: number | null;
    };
