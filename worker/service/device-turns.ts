// Who may compute on a device that several worker processes share: the CPU of one machine. Any number of tasks at once,
// but a `latency` task alone. Workers that keep their blobs in one folder know of each other by it.
//
// No wait is for ever: a process that hangs while it holds its turn must not stop all others. After the limit a task
// computes in any case, and the log says so.
import { acquireFolderLock, type LockMode } from '../../shared/exclusive/folder-lock.ts';
import type { Log } from '../../shared/log.ts';

const MOST_WAIT_MS = 60_000;

export interface DeviceTurns {
  /** Waits for a turn. @returns a function that ends it. @throws EspalierError the signal's reason. */
  enter(mode: LockMode, signal: AbortSignal): Promise<() => Promise<void>>;
}

/** A device that belongs to this process: the queue of tasks is order enough. */
export const OWN_DEVICE: DeviceTurns = { enter: async () => async () => {} };

/** Turns on the CPU of this machine among the workers whose locks lie in this folder. */
export function cpuTurns(folder: string, log: Log, mostWaitMs: number = MOST_WAIT_MS): DeviceTurns {
  return {
    async enter(mode, signal) {
      const release = await acquireFolderLock({ folder, name: 'cpu', mode, signal, timeoutMs: mostWaitMs });
      if (release !== null) return release;
      log.warning('computing beside another worker', { mode, waitedMs: mostWaitMs });
      return async () => {};
    },
  };
}
