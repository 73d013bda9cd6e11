// What a forked worker tells the process that forked it, which is the supervisor or a command
// (coordinator/workers/local-cluster.ts). A worker that was started by hand tells nobody.

/** How often a change of readiness is looked for. */
const LOOK_MS = 500;

/** "ready" comes once, when the worker serves; "readiness" with each change after that. */
export type WorkerMessage =
  | { readonly kind: 'ready'; readonly port: number }
  | { readonly kind: 'readiness'; readonly isReady: boolean }
  | { readonly kind: 'failed'; readonly code: string; readonly message: string; readonly action: string };

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
