// In mid-tuning a shard's hidden states lie on the worker that summed the sub-layers before. Where another takes the
// shard over while the old one is still there, this brings it the states, when that is cheaper than computing them again
// from the embeddings. The bits are the same either way, so anything that goes wrong only means: compute.
import { blobOfBytes } from '../../shared/blobs/blob-source.ts';
import type { DeviceClass, RunRequestBody } from '../../shared/rpc/protocol.ts';
import { encodeSafetensors } from '../../shared/safetensors.ts';
import { hiddenSizeOf } from './hidden-size.ts';
import { type TaskSpec, tryTask } from './task-spec.ts';
import type { PooledWorker } from './worker-source.ts';

/** Waited for at the most. */
const TIMEOUT_MS = 5_000;
/** The coordinator holds one hand-over twice: as tensors and as a blob. */
const MAX_BYTES = 128 * 1024 * 1024;
const MAX_MICRO_BATCHES = 4096;
const MAX_AT_ONCE = 2;

/** What bytes cost on their way through the coordinator, down and up, and products on a device: orders of magnitude,
 * since the two ways differ by many times (docs/adr/0014-fleet-scheduling.md). */
const BYTES_PER_SECOND = 1.5e8;
const FLOPS_PER_SECOND = { cpu: 5e10, gpu: 5e13 };
const FLOAT_BYTES = 4;

export class HandOver {
  #running = 0;
  #done = 0;

  /** How often states were handed over. */
  get done(): number {
    return this.#done;
  }

  /** The same task with the states of `holder`, or as it was.
   * @throws EspalierError "cancelled" alone, or the reason of the signal. */
  async prepare(spec: TaskSpec, holder: PooledWorker, signal: AbortSignal): Promise<TaskSpec> {
    const { normalEquations } = spec.request;
    if (!normalEquations || this.#running >= MAX_AT_ONCE || !isCheaper(spec.request, holder.deviceClass)) return spec;
    this.#running += 1;
    try {
      const { states: _, ...activations } = normalEquations;
      const fetched = await tryTask(
        holder,
        { ...spec, id: `activations/${spec.id}`, request: { task: 'activations', activations } },
        {
          deadlineMs: TIMEOUT_MS,
          signal: AbortSignal.any([signal, AbortSignal.timeout(TIMEOUT_MS)]),
          limits: { maxTensors: 2 * MAX_MICRO_BATCHES, maxBytes: MAX_BYTES },
        },
      );
      const blob = blobOfBytes(encodeSafetensors([...fetched.values()]));
      const states = { digest: blob.digest, sizeBytes: blob.sizeBytes };
      this.#done += 1;
      return {
        ...spec,
        blobs: [...spec.blobs, blob],
        request: { ...spec.request, normalEquations: { ...normalEquations, states } },
      };
    } catch {
      signal.throwIfAborted();
      return spec;
    } finally {
      this.#running -= 1;
    }
  }
}

/** Per token: two passes (teacher and student) through the layers before, of 12 products of hidden size squared each, or
 * two rows of the hidden size through the coordinator. The number of tokens is the same on both sides. */
export function isCheaper(request: Omit<RunRequestBody, 'taskId'>, device: DeviceClass): boolean {
  const { layer = 0, model } = request.normalEquations ?? {};
  const hiddenSize = hiddenSizeOf(model?.configJson ?? '');
  const transfer = (2 * hiddenSize * FLOAT_BYTES) / BYTES_PER_SECOND;
  const products = 2 * 2 * 12 * hiddenSize ** 2;
  const rate = device.kind === 'gpu' ? FLOPS_PER_SECOND.gpu : FLOPS_PER_SECOND.cpu * device.intraOpThreads;
  return hiddenSize > 0 && transfer < (layer * products) / rate;
}
