// One run an output folder. Each run that wants the folder puts down a file whose name is the identity of its process:
// made whole by one system call, and never the name of another process, so removing a dead run's file cannot hit a
// living one. Whoever has put down a file and then sees no other living one holds the lock; of two that come at once
// each sees the other, and the one whose name sorts later gives way.
import { open, readdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { EspalierError } from '../../shared/errors.ts';
import {
  formatIdentity,
  identityOf,
  livenessOf,
  type ProcessIdentity,
  parseIdentity,
} from '../../shared/process-identity.ts';

/** How long the run whose name sorts first waits for others that came at the same moment to give way. */
const GIVE_WAY_MS = 300;
const POLL_MS = 20;

export interface RunLock {
  /** The lock's file. */
  readonly path: string;
  /** Removes this run's file and no other; harmless when called again. */
  release(): Promise<void>;
}

/** Takes the lock of `<folder>/<name>`. Locks of dead processes are removed.
 * @throws EspalierError "output_locked" that names the process that holds it. */
export async function acquireRunLock(folder: string, name: string): Promise<RunLock> {
  const prefix = `.${name}.espalier.lock-`;
  const own = identityOf();
  const ownName = prefix + formatIdentity(own);
  const path = join(folder, ownName);
  try {
    await (await open(path, 'wx')).close();
  } catch (caught) {
    if ((caught as NodeJS.ErrnoException).code === 'EEXIST') throw locked(folder, name, ownName, own);
    throw caught;
  }
  const release = () => rm(path, { force: true });
  try {
    const deadline = Date.now() + GIVE_WAY_MS;
    for (;;) {
      const other = (await livingHolders(folder, prefix)).find((holder) => holder.file !== ownName);
      if (other === undefined) return { path, release };
      if (other.file < ownName || Date.now() > deadline) throw locked(folder, name, other.file, other.identity);
      await sleep(POLL_MS);
    }
  } catch (caught) {
    await release();
    throw caught;
  }
}

/** Files of living holders in the order of their names; files of dead ones are removed on the way. */
async function livingHolders(folder: string, prefix: string) {
  const holders: { file: string; identity: ProcessIdentity }[] = [];
  for (const file of (await readdir(folder)).sort()) {
    const identity = file.startsWith(prefix) ? parseIdentity(file.slice(prefix.length)) : null;
    if (identity === null) continue;
    if (livenessOf(identity) === 'dead') await rm(join(folder, file), { force: true });
    else holders.push({ file, identity });
  }
  return holders;
}

function locked(folder: string, name: string, file: string, holder: ProcessIdentity): EspalierError {
  const message = `${join(folder, name)}: another run writes it, process ${holder.pid}`;
  if (livenessOf(holder) !== 'unknown') return new EspalierError('output_locked', message);
  const action = `wait for it, or remove ${join(folder, file)} if that run is gone`;
  return new EspalierError('output_locked', `${message} of another container`, { action });
}
