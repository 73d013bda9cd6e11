// Tensors on the wire: a header, then its bytes in chunks of 1 MiB, then the next header. Written by workers and read by
// coordinators, here and nowhere else.
import {
  type ClientReadableStream,
  type Metadata,
  type ServerWritableStream,
  type StatusObject,
  status,
} from '@grpc/grpc-js';
import { EspalierError } from '../errors.ts';
import {
  DTYPE_BYTES,
  type DType,
  elementCount,
  isDType,
  type NamedTensor,
  type TensorData,
  viewAs,
} from '../tensor.ts';

import { drained } from './back-pressure.ts';
import type { Frame, Frame__Output } from './generated/espalier/v1/Frame.ts';
import type { TensorHeader__Output } from './generated/espalier/v1/TensorHeader.ts';
import { CHUNK_BYTES } from './protocol.ts';
import { fromStatus } from './status.ts';

/** What a reader accepts; checked before anything is allocated. */
export interface TensorLimits {
  readonly maxTensors: number;
  /** Bytes of all tensors of the stream together. */
  readonly maxBytes: number;
}

/** Where large tensors of a stream go in place of memory. A task that is tried twice has one for each try. */
export interface TensorSink {
  /** Where the elements of this tensor go, asked for at its header; null: into memory, to be returned.
   * @throws EspalierError when it should not be there. */
  open(tensor: Pick<NamedTensor, 'name' | 'dtype' | 'shape'>): TensorWriter | null;
  /** All tensors are complete. @throws EspalierError "protocol" when one is missing. */
  end(): void;
}

/** Takes whole elements as they come. @param at the number of the first of them. The reader waits for the promise, and with
 * it the peer. */
export type TensorWriter = (elements: TensorData, at: number) => Promise<void>;

export const DEFAULT_TENSOR_LIMITS: TensorLimits = { maxTensors: 64, maxBytes: 2 ** 32 };

export interface ReadOptions {
  readonly limits?: TensorLimits;
  readonly sink?: TensorSink;
  /** Told of bytes of tensors as they come. */
  readonly onBytes?: (count: number) => void;
  /** Told what ended a stream that was complete. */
  readonly onTrailer?: (trailer: Metadata) => void;
}

const MAX_NAME_LENGTH = 256;
const MAX_AXES = 8;

/** Writes the tensors, never more than the peer takes in (one chunk beyond the stream's own buffer). The caller ends the
 * call. @throws EspalierError "cancelled" when the peer goes away. */
export async function writeTensors(
  call: ServerWritableStream<unknown, Frame>,
  tensors: readonly NamedTensor[],
): Promise<void> {
  for (const { name, dtype, shape, data } of tensors) {
    await write(call, { header: { name, dtype, shape: [...shape] } });
    const bytes = Buffer.from(data.buffer, data.byteOffset, data.byteLength);
    for (let start = 0; start < bytes.length; start += CHUNK_BYTES)
      await write(call, { chunk: bytes.subarray(start, start + CHUNK_BYTES) });
  }
}

async function write(call: ServerWritableStream<unknown, Frame>, frame: Frame): Promise<void> {
  if (call.cancelled) throw new EspalierError('cancelled', 'the caller went away');
  if (!call.write(frame)) await drained(call);
}

/** Reads all tensors of a call, by name, but for those that go into the sink. The call is over when this returns, however
 * it returns. @throws EspalierError "protocol" for a malformed stream, "limit_exceeded" beyond `limits`, else what `fromStatus` says. */
export async function readTensors(
  call: ClientReadableStream<Frame__Output>,
  { limits = DEFAULT_TENSOR_LIMITS, sink, onBytes = () => {}, onTrailer = () => {} }: ReadOptions = {},
): Promise<Map<string, NamedTensor>> {
  // A stream that was cut between two tensors looks complete; only its status tells.
  const ended = new Promise<StatusObject>((resolve) => call.once('status', resolve));
  call.on('error', () => {});
  try {
    const reader = new TensorReader(limits, sink);
    for await (const frame of call as AsyncIterable<Frame__Output>) {
      onBytes(frame.chunk?.length ?? 0);
      const written = reader.take(frame);
      if (written !== null) await written;
    }
    const last = await ended;
    if (last.code !== status.OK)
      throw new EspalierError('worker_unavailable', `${call.getPeer()}: the stream ended with status ${last.code}`);
    const tensors = reader.finish();
    onTrailer(last.metadata);
    return tensors;
  } catch (caught) {
    throw fromStatus(caught, call.getPeer());
  } finally {
    call.cancel();
  }
}

interface OpenTensor {
  readonly name: string;
  readonly dtype: DType;
  readonly shape: readonly number[];
  readonly sizeBytes: number;
  /** Its memory, or where its elements go. */
  readonly target: Uint8Array | TensorWriter;
  filled: number;
}

class TensorReader {
  readonly #limits: TensorLimits;
  readonly #sink: TensorSink | undefined;
  readonly #done = new Map<string, NamedTensor>();
  readonly #names = new Set<string>();
  #open: OpenTensor | null = null;
  #totalBytes = 0;

  constructor(limits: TensorLimits, sink: TensorSink | undefined) {
    this.#limits = limits;
    this.#sink = sink;
  }

  /** @returns what to wait for before the next frame. */
  take(frame: Frame__Output): Promise<void> | null {
    if (frame.header) this.#begin(frame.header);
    else if (frame.chunk) return this.#append(frame.chunk);
    else throw new EspalierError('protocol', 'got a frame with neither header nor chunk');
    return null;
  }

  finish(): Map<string, NamedTensor> {
    if (this.#open !== null) throw new EspalierError('protocol', `${progress(this.#open)} when the stream ended`);
    this.#sink?.end();
    return this.#done;
  }

  #begin(header: TensorHeader__Output): void {
    if (this.#open !== null) throw new EspalierError('protocol', `${progress(this.#open)} when the next header came`);
    const { name, dtype, shape } = header;
    if (name.length === 0 || name.length > MAX_NAME_LENGTH || this.#names.has(name))
      throw new EspalierError(
        'protocol',
        `got a tensor name that is empty, repeated or too long: "${name.slice(0, 80)}"`,
      );
    if (!isDType(dtype)) throw new EspalierError('protocol', `${name}: got dtype "${dtype.slice(0, 80)}"`);
    if (shape.length > MAX_AXES) throw new EspalierError('protocol', `${name}: got ${shape.length} axes`);
    const sizeBytes = elementCount(shape) * DTYPE_BYTES[dtype];
    if (!shape.every((size) => Number.isSafeInteger(size) && size >= 0) || !Number.isSafeInteger(sizeBytes))
      throw new EspalierError('protocol', `${name}: got shape [${shape}]`);
    this.#totalBytes += sizeBytes;
    const { maxBytes, maxTensors } = this.#limits;
    if (this.#totalBytes > maxBytes)
      throw new EspalierError('limit_exceeded', `${name}: got [${shape}] ${dtype}, more than ${maxBytes} bytes in all`);
    if (this.#names.size >= maxTensors)
      throw new EspalierError('limit_exceeded', `${name}: got more than ${maxTensors} tensors`);
    this.#names.add(name);
    const target = this.#sink?.open({ name, dtype, shape }) ?? new Uint8Array(sizeBytes);
    this.#open = { name, dtype, shape, sizeBytes, target, filled: 0 };
    this.#closeWhenFull(this.#open);
  }

  #append(chunk: Uint8Array): Promise<void> | null {
    const open = this.#open;
    if (open === null) throw new EspalierError('protocol', `got ${chunk.length} bytes that belong to no tensor`);
    const { target, filled, dtype } = open;
    if (filled + chunk.length > open.sizeBytes)
      throw new EspalierError('protocol', `${progress(open)}, then ${chunk.length} more`);
    let written: Promise<void> | null = null;
    if (target instanceof Uint8Array) target.set(chunk, filled);
    else if (chunk.length % DTYPE_BYTES[dtype] === 0)
      written = target(viewAs(dtype, chunk), filled / DTYPE_BYTES[dtype]);
    else throw new EspalierError('protocol', `${progress(open)}, then ${chunk.length}: no whole number of ${dtype}`);
    open.filled += chunk.length;
    this.#closeWhenFull(open);
    return written;
  }

  #closeWhenFull(open: OpenTensor): void {
    if (open.filled < open.sizeBytes) return;
    const { name, dtype, shape, target } = open;
    if (target instanceof Uint8Array) this.#done.set(name, { name, dtype, shape, data: viewAs(dtype, target) });
    this.#open = null;
  }
}

function progress(open: OpenTensor): string {
  return `${open.name}: got ${open.filled} of ${open.sizeBytes} bytes`;
}
