// What a forked worker tells the process that forked it, which is the supervisor or a command
// (coordinator/workers/local-cluster.ts), and what it is told. A worker that was started by hand has no such channel.
import { toEspalierError } from '../shared/errors.ts';
import type { Log } from '../shared/log.ts';
import type { LocalModel } from './model/local-model.ts';

/** How often a change of readiness is looked for. */
const LOOK_MS = 500;

/** "ready" comes once, when the worker serves; "readiness" with each change after that. */
export type WorkerMessage =
  | { readonly kind: 'ready'; readonly port: number }
  | { readonly kind: 'readiness'; readonly isReady: boolean }
  | { readonly kind: 'failed'; readonly code: string; readonly message: string; readonly action: string };

/** "load": tasks will ask for this model, whose files are where it says. */
export interface ParentMessage {
  readonly kind: 'load';
  readonly model: LocalModel;
}

export const isForked = process.send !== undefined;

export function announce(message: WorkerMessage): void {
  // A parent that is gone ends this process by the channel's end.
  process.send?.(message, undefined, undefined, () => {});
}

/** Announces "ready", and from then on what becomes of it, for as long as the process lives. */
export function announceReady(port: number, isReady: () => boolean): void {
  announce({ kind: 'ready', port });
  if (!isForked) return;
  let told = true;
  setInterval(() => {
    if (isReady() === told) return;
    told = !told;
    announce({ kind: 'readiness', isReady: told });
  }, LOOK_MS).unref();
}

/** Has models loaded that the parent names. No task depends on it: what keeps one from loading is told by the task that asks for it,
 * and only logged here. */
export function loadAhead(load: (model: LocalModel) => Promise<void>, log: Log): void {
  if (!isForked) return;
  process.on('message', async ({ model }: ParentMessage) => {
    const startedAt = performance.now();
    try {
      await load(model);
      log.info('model loaded ahead', { seconds: (performance.now() - startedAt) / 1000 });
    } catch (caught) {
      log.warning('model not loaded ahead', { error: toEspalierError(caught) });
    }
  });
}
