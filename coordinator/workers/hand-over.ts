// In mid-tuning a shard's hidden states lie on the worker that summed the sub-layers before. Where another takes the
// shard over while the old one is still there, this brings it the states, when that is cheaper than computing them again
// from the embeddings. The bits are the same either way, so anything that goes wrong only means: compute.
import { blobOfBytes } from '../../shared/blobs/blob-source.ts';
import type { DeviceClass, RunRequestBody } from '../../shared/rpc/protocol.ts';
import { encodeSafetensors } from '../../shared/safetensors.ts';
import { hiddenSizeOf } from './model-sizes.ts';
import { type TaskSpec, tryTask } from './task-spec.ts';
import type { ShardSpan } from './tuning-holders.ts';
import type { PooledWorker } from './worker-source.ts';

/** Waited for at the most: one answer of a worker, and all that one task needs. */
const FETCH_MS = 5_000;
const TASK_MS = 20_000;
/** The coordinator holds one answer twice: as tensors and as a blob. */
const MAX_BYTES = 128 * 1024 * 1024;
const MAX_MICRO_BATCHES = 4096;
const MAX_AT_ONCE = 2;
/** Shards of one answer for a solve, which sums many: few enough to hold them here. */
const SHARDS_AT_ONCE = 4;
/** Answers that one solve takes, as worker.proto has it. */
const MAX_ANSWERS = 256;

/** What bytes cost on their way through the coordinator, down and up, and products on a device: orders of magnitude,
 * since the two ways differ by many times (docs/adr/0014-fleet-scheduling.md). */
const BYTES_PER_SECOND = 1.5e8;
const FLOPS_PER_SECOND = { cpu: 5e10, gpu: 5e13 };
const FLOAT_BYTES = 4;

type Request = Omit<RunRequestBody, 'taskId'>;

/** Shards whose newest states another worker has. */
export interface HeldShards {
  readonly shards: ShardSpan;
  readonly holder: PooledWorker;
}

export class HandOver {
  #running = 0;
  #done = 0;

  /** How many tasks went with states. */
  get done(): number {
    return this.#done;
  }

  /** The same task for worker `to` with states that others hold, or as it was.
   * @throws EspalierError "cancelled" alone, or the reason of the signal. */
  async prepare(spec: TaskSpec, to: PooledWorker, held: readonly HeldShards[], signal: AbortSignal): Promise<TaskSpec> {
    if (held.length === 0 || this.#running >= MAX_AT_ONCE || !isCheaper(spec.request, to.deviceClass)) return spec;
    this.#running += 1;
    try {
      const prepared = await within(TASK_MS, signal, (limited) =>
        spec.request.solve ? forSolve(spec, to, held, limited) : forNormalEquations(spec, held, limited),
      );
      if (prepared !== spec) this.#done += 1;
      return prepared;
    } catch {
      return spec;
    } finally {
      this.#running -= 1;
      signal.throwIfAborted();
    }
  }
}

/** Runs `work` with a signal that aborts as `signal` does, or after a time. Not by AbortSignal.timeout: as a part of
 * AbortSignal.any nothing holds it on Node 20, and once it is collected as garbage it never fires. */
async function within<T>(limitMs: number, signal: AbortSignal, work: (limited: AbortSignal) => Promise<T>): Promise<T> {
  const limit = new AbortController();
  const timer = setTimeout(() => limit.abort(), limitMs);
  try {
    return await work(AbortSignal.any([signal, limit.signal]));
  } finally {
    clearTimeout(timer);
  }
}

async function forNormalEquations(spec: TaskSpec, held: readonly HeldShards[], signal: AbortSignal): Promise<TaskSpec> {
  const { normalEquations } = spec.request;
  const [{ shards, holder }] = held;
  const { first, end } = normalEquations?.shards ?? {};
  if (!normalEquations || shards.first !== first || shards.end !== end) return spec;
  const blob = await fetchStates(spec, shards, holder, signal);
  const states = { digest: blob.digest, sizeBytes: blob.sizeBytes };
  return {
    ...spec,
    blobs: [...spec.blobs, blob],
    request: { ...spec.request, normalEquations: { ...normalEquations, states } },
  };
}

/** A solve in place sums all shards: their states go to the worker one part after the other, and none stays here. What
 * has come when something fails is used. */
async function forSolve(
  spec: TaskSpec,
  to: PooledWorker,
  held: readonly HeldShards[],
  signal: AbortSignal,
): Promise<TaskSpec> {
  const states: { shards: ShardSpan; blob: { digest: string; sizeBytes: number } }[] = [];
  try {
    for (const { shards, holder } of held.flatMap(cut).slice(0, MAX_ANSWERS)) {
      const blob = await fetchStates(spec, shards, holder, signal);
      await to.uploader.ensure([blob], signal);
      states.push({ shards, blob: { digest: blob.digest, sizeBytes: blob.sizeBytes } });
    }
  } catch {
    // The rest is computed.
  }
  if (states.length === 0) return spec;
  return { ...spec, request: { ...spec.request, solve: { ...spec.request.solve, states } } };
}

function cut({ shards, holder }: HeldShards): HeldShards[] {
  const parts: HeldShards[] = [];
  for (let { first } = shards; first < shards.end; first += SHARDS_AT_ONCE)
    parts.push({ shards: { first, end: Math.min(first + SHARDS_AT_ONCE, shards.end) }, holder });
  return parts;
}

async function fetchStates(spec: TaskSpec, shards: ShardSpan, holder: PooledWorker, signal: AbortSignal) {
  const { normalEquations, solve } = spec.request;
  const { model = null, plan = null, teacher = null, student = null } = normalEquations ?? solve ?? {};
  const { layer = 0, subLayer = '' } = normalEquations ?? solve ?? {};
  const activations = { model, plan, teacher, student, layer, subLayer, shards, heldOnly: true };
  const task = {
    ...spec,
    id: `activations/${spec.id}/${shards.first}-${shards.end}`,
    request: { task: 'activations' as const, activations },
  };
  const limits = { maxTensors: 2 * MAX_MICRO_BATCHES + 1, maxBytes: MAX_BYTES };
  const fetched = await within(FETCH_MS, signal, (limited) =>
    tryTask(holder, task, { deadlineMs: FETCH_MS, signal: limited, limits }),
  );
  return blobOfBytes(encodeSafetensors([...fetched.values()]));
}

/** Per token: two passes (teacher and student) through the layers before, of 12 products of hidden size squared each, or
 * two rows of the hidden size through the coordinator. The number of tokens is the same on both sides. */
export function isCheaper({ normalEquations, solve }: Request, device: DeviceClass): boolean {
  const { layer = 0, model } = normalEquations ?? solve ?? {};
  const hiddenSize = hiddenSizeOf(model?.configJson ?? '');
  const transfer = (2 * hiddenSize * FLOAT_BYTES) / BYTES_PER_SECOND;
  const products = 2 * 2 * 12 * hiddenSize ** 2;
  const rate = device.kind === 'gpu' ? FLOPS_PER_SECOND.gpu : FLOPS_PER_SECOND.cpu * device.intraOpThreads;
  return hiddenSize > 0 && transfer < (layer * products) / rate;
}
