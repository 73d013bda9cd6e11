// What a signal does. States: running → (first SIGINT or SIGTERM) stopping, the job's AbortSignal is aborted and the run
// stores what it has → (second signal) gone, at once.
import { EspalierError } from '../shared/errors.ts';

/** The part of a process that is used. */
export interface SignalSource {
  on(signal: 'SIGINT' | 'SIGTERM', listener: (name: string) => void): unknown;
  off(signal: 'SIGINT' | 'SIGTERM', listener: (name: string) => void): unknown;
  exit(code: number): void;
}

/** Listens for signals until `dispose` is called.
 * @returns a signal that is aborted with an EspalierError "cancelled". */
export function listenForSignals(source: SignalSource): { readonly signal: AbortSignal; dispose(): void } {
  const controller = new AbortController();
  const listener = (name: string) => {
    const reason = new EspalierError('cancelled', `interrupted by ${name}`);
    if (controller.signal.aborted) source.exit(reason.exitCode);
    else controller.abort(reason);
  };
  const names = ['SIGINT', 'SIGTERM'] as const;
  for (const name of names) source.on(name, listener);
  return {
    signal: controller.signal,
    dispose() {
      for (const name of names) source.off(name, listener);
    },
  };
}
