// The events of one job, over coordinators that come and go: each event once, in order.
import type { EspalierError } from '../../shared/errors.ts';
import { cancelOnAbort } from '../../shared/rpc/abort.ts';
import type { JobEvent__Output as JobEvent } from '../../shared/rpc/generated/espalier/v1/JobEvent.ts';
import type { CoordinatorConnection } from './coordinator-connection.ts';
import type { Coordinators } from './coordinators.ts';

/** How long a watch looks for a coordinator that answers. */
const WATCH_PATIENCE_MS = 120_000;

export interface WatchOptions {
  readonly after: number;
  readonly keptOnly: boolean;
  readonly signal: AbortSignal;
  readonly onEvent: (event: JobEvent) => void;
  /** Told when the coordinator has gone and another, or it again, is looked for. */
  readonly onLost?: (error: EspalierError) => void;
}

/** Tells of a job's events until it has ended; goes on after the last one when a coordinator goes away. */
export async function watchEvents(coordinators: Coordinators, id: string, options: WatchOptions): Promise<void> {
  let after = options.after;
  let lostAt: number | null = null;
  for (;;) {
    const connection = coordinators.connect();
    try {
      await watchOnce(connection, id, { ...options, after }, coordinators.signal, (event) => {
        lostAt = null;
        coordinators.noteAnswer();
        after = event.sequence;
        options.onEvent(event);
      });
      return;
    } catch (caught) {
      options.signal.throwIfAborted();
      coordinators.signal.throwIfAborted();
      const error = connection.failure(caught);
      if (!coordinators.mayPass(error)) throw error;
      if (lostAt === null) options.onLost?.(error);
      lostAt ??= Date.now();
      if (Date.now() - lostAt > WATCH_PATIENCE_MS) throw error;
      coordinators.next();
      await coordinators.pause(options.signal);
    }
  }
}

function watchOnce(
  { jobs }: CoordinatorConnection,
  id: string,
  { after, keptOnly, signal }: WatchOptions,
  stopped: AbortSignal,
  onEvent: (event: JobEvent) => void,
): Promise<void> {
  return new Promise((resolve, reject) => {
    const call = jobs.watch({ id, afterSequence: after, keptOnly });
    const stops = [cancelOnAbort(call, signal), cancelOnAbort(call, stopped)];
    const settle = (finish: () => void) => {
      for (const stop of stops) stop();
      finish();
    };
    call.on('data', onEvent);
    call.on('end', () => settle(resolve));
    call.on('error', (error) => settle(() => reject(error)));
  });
}
