// Locks between the processes of one machine that share a folder; they survive a kill of whoever holds them.
//
// Each process that wants a lock puts down a file of its own, named NAME.MODE.TICKET.IDENTITY, and looks who else is
// there. Files of dead processes are removed by whoever sees them: a file carries the identity of its process, so that
// never hits a living one. Who has put down its file and then sees no other that it conflicts with holds the lock. Of
// two that come at once at least the later one sees the other, so they never both hold it:
//
//   waiting → asking (own file is there) → holding → released
//             asking → waiting: an exclusive one is there (for a shared one), or one with an earlier ticket (for an
//             exclusive one): the own file is removed meanwhile
//
// An exclusive one that waits for shared ones keeps its file, so that no new shared ones come in.
//
// Processes of other containers cannot be seen. Their files count while they are fresh: holders touch theirs.
import { randomBytes } from 'node:crypto';
import { readdir, rm, stat, utimes, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { toEspalierError } from '../errors.ts';
import { formatIdentity, identityOf, livenessOf, parseIdentity } from '../process-identity.ts';

export type LockMode = 'shared' | 'exclusive';

const FIRST_POLL_MS = 10;
const MOST_POLL_MS = 100;
const TOUCH_MS = 5_000;
const STALE_MS = 30_000;

export interface LockRequest {
  /** Must exist. */
  readonly folder: string;
  /** Letters, digits and dashes. */
  readonly name: string;
  readonly mode: LockMode;
  /** How long to wait for others; left out: for ever. */
  readonly timeoutMs?: number;
  readonly signal?: AbortSignal;
}

interface Contender {
  readonly file: string;
  readonly mode: string;
  readonly ticket: string;
}

/** Waits until the lock is held. @returns a function that releases it, or null when the time was over.
 * @throws EspalierError the signal's reason. */
export async function acquireFolderLock(request: LockRequest): Promise<(() => Promise<void>) | null> {
  const { folder, name, mode, signal } = request;
  // Earlier ones first; the clock decides about turns only, never about who holds it.
  const ticket = `${Date.now().toString(36).padStart(10, '0')}${randomBytes(4).toString('hex')}`;
  const own: Contender = {
    file: join(folder, `${name}.${mode}.${ticket}.${formatIdentity(identityOf())}`),
    mode,
    ticket,
  };
  const remove = () => rm(own.file, { force: true });
  const end = performance.now() + (request.timeoutMs ?? Number.POSITIVE_INFINITY);
  let isAsking = false;
  let pollMs = FIRST_POLL_MS;
  try {
    for (;;) {
      if (signal?.aborted) throw toEspalierError(signal.reason);
      if (!isAsking && !mustGiveWay(own, await livingOthers(folder, name, own))) {
        await writeFile(own.file, '', { flag: 'wx' });
        isAsking = true;
      }
      if (isAsking) {
        const others = await livingOthers(folder, name, own);
        if (!others.some((other) => conflict(own, other))) return hold(own.file);
        if (mustGiveWay(own, others)) {
          await remove();
          isAsking = false;
        }
      }
      if (performance.now() >= end) {
        await remove();
        return null;
      }
      await pause(pollMs, undefined, { signal }).catch(() => {});
      pollMs = Math.min(pollMs * 1.5, MOST_POLL_MS);
    }
  } catch (caught) {
    await remove();
    throw caught;
  }
}

/** Removes what dead processes left in a folder of locks. */
export async function removeDeadLocks(folder: string): Promise<void> {
  for (const file of await readdir(folder)) await isLiving(folder, file);
}

function conflict(a: Contender, b: Contender): boolean {
  return a.mode === 'exclusive' || b.mode === 'exclusive';
}

function mustGiveWay(own: Contender, others: readonly Contender[]): boolean {
  return others.some((other) => other.mode === 'exclusive' && (own.mode === 'shared' || other.ticket < own.ticket));
}

function hold(file: string): () => Promise<void> {
  const touch = setInterval(() => {
    const now = new Date();
    utimes(file, now, now).catch(() => {});
  }, TOUCH_MS);
  touch.unref();
  return async () => {
    clearInterval(touch);
    await rm(file, { force: true });
  };
}

async function livingOthers(folder: string, name: string, own: Contender): Promise<Contender[]> {
  const found: Contender[] = [];
  for (const entry of await readdir(folder)) {
    if (!entry.startsWith(`${name}.`) || join(folder, entry) === own.file) continue;
    const [, mode, ticket] = entry.split('.');
    if (await isLiving(folder, entry)) found.push({ file: join(folder, entry), mode, ticket });
  }
  return found;
}

/** Whether the file belongs to a process that lives; else it is removed. What is no lock's file is left alone. */
async function isLiving(folder: string, entry: string): Promise<boolean> {
  const parts = entry.split('.');
  const identity = parts.length === 4 ? parseIdentity(parts[3]) : null;
  if (identity === null) return false;
  const liveness = livenessOf(identity);
  if (liveness === 'live') return true;
  const file = join(folder, entry);
  if (liveness === 'unknown') {
    const found = await stat(file).catch(() => null);
    if (found === null) return false;
    if (Date.now() - found.mtimeMs < STALE_MS) return true;
  }
  await rm(file, { force: true });
  return false;
}
