// Whose memory the engine uses, and how much of it: a GPU's, as far as TensorFlow may take it, or a share of the machine's.
import { freemem, totalmem } from 'node:os';

/** Of the memory that a worker may use, for hidden states between tasks. Models, what is summed and a micro-batch at work
 * need the rest, less what the allocator loses (dataset/batch-memory.ts). */
export const STATE_SHARE = 0.4;
const FREE_SHARE = 0.5;

/** What an engine takes of this machine's memory where nobody says. */
export function hostMemoryBytes(): number {
  return Math.floor(Math.min(freemem(), totalmem()) * FREE_SHARE);
}

/** Memory that the engine may use. @param asked what somebody said; null: nobody did.
 * @param gpuBytes what a GPU's allocator may take; null: not known, or no GPU. */
export function engineMemoryBytes(asked: number | null, gpuBytes: number | null): number {
  if (gpuBytes === null) return asked ?? hostMemoryBytes();
  return Math.min(asked ?? gpuBytes, gpuBytes);
}
