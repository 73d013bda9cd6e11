// A lock file between processes of one user. It names its holder by pid and start time, so a lock whose holder died is
// noticed and taken over, also when the pid was given out again. Inside another pid namespace (a container that shares
// the cache) the pid says nothing: there a lock is dead once its holder stopped renewing it.
//
// States of the file: absent -> held (link, atomic) -> absent (release), or held -> dead (the holder ended without a
// release) -> absent (take-over, one process at a time) -> held.

import fs from 'node:fs';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';

const RENEW_MS = 5_000;
const FOREIGN_DEAD_MS = 60_000;
const POLL_MS = 200;

/** Runs `work` while holding the lock file `file`; `onWait(holderPid)` is called once when another process holds it.
 * @throws what `work` throws, or the abort reason of `signal` while waiting. */
export async function withLock(file, { onWait, signal }, work) {
  fs.mkdirSync(path.dirname(file), { recursive: true });
  let said = false;
  while (!tryAcquire(file)) {
    const holder = readHolder(file);
    if (holder !== undefined && isDead(file, holder)) {
      takeAway(file, holder);
      continue;
    }
    if (holder !== undefined && !said) {
      onWait?.(holder.pid);
      said = true;
    }
    await sleep(POLL_MS, undefined, { signal });
  }
  const renewal = setInterval(() => touch(file), RENEW_MS);
  try {
    return await work();
  } finally {
    clearInterval(renewal);
    fs.rmSync(file, { force: true });
  }
}

/** What identifies this process on this machine: a pid alone is given out again. */
export function describeSelf() {
  return { pid: process.pid, startTicks: startTicks(process.pid), space: pidSpace() };
}

/** Creates the file with its content in one step: a reader never sees a lock without a holder. */
function tryAcquire(file) {
  const own = `${file}.${process.pid}.${Math.random().toString(36).slice(2)}`;
  fs.writeFileSync(own, JSON.stringify(describeSelf()));
  try {
    fs.linkSync(own, file);
    return true;
  } catch (error) {
    if (error.code === 'EEXIST') return false;
    throw error;
  } finally {
    fs.rmSync(own, { force: true });
  }
}

/** The holder written in the file; undefined when the file is gone. An unreadable one counts as a process that is gone. */
function readHolder(file) {
  let text;
  try {
    text = fs.readFileSync(file, 'utf8');
  } catch (error) {
    if (error.code === 'ENOENT') return undefined;
    throw error;
  }
  try {
    const { pid, startTicks, space } = JSON.parse(text);
    return { pid, startTicks, space, text };
  } catch {
    return { pid: 0, startTicks: undefined, space: pidSpace(), text };
  }
}

function isDead(file, holder) {
  if (holder.space === pidSpace())
    return startTicks(holder.pid) !== holder.startTicks || holder.startTicks === undefined;
  const renewedMs = fs.statSync(file, { throwIfNoEntry: false })?.mtimeMs ?? 0;
  return Date.now() - renewedMs > FOREIGN_DEAD_MS;
}

/** Removes a dead holder's lock. Only one process may do so at a time and it looks again first: otherwise a slow one
 * would remove the lock of the one that had already taken over. */
function takeAway(file, holder) {
  const guard = `${file}.take-over`;
  try {
    fs.mkdirSync(guard);
  } catch (error) {
    if (error.code !== 'EEXIST') throw error;
    const madeMs = fs.statSync(guard, { throwIfNoEntry: false })?.mtimeMs ?? Date.now();
    if (Date.now() - madeMs > FOREIGN_DEAD_MS) fs.rmSync(guard, { recursive: true, force: true });
    return;
  }
  try {
    if (readHolder(file)?.text === holder.text) fs.rmSync(file, { force: true });
  } finally {
    fs.rmdirSync(guard);
  }
}

function touch(file) {
  if (!fs.existsSync(file)) return; // removed by hand
  const now = new Date();
  fs.utimesSync(file, now, now);
}

/** Field 22 of /proc/PID/stat: clock ticks from boot to the start of the process; undefined when there is none. */
function startTicks(pid) {
  try {
    const stat = fs.readFileSync(`/proc/${pid}/stat`, 'utf8');
    return stat.slice(stat.lastIndexOf(')') + 2).split(' ')[19];
  } catch (error) {
    if (error.code === 'ENOENT' || error.code === 'ESRCH') return undefined;
    throw error;
  }
}

/** One boot of one machine (or container): pids and start times compare only within it. */
function pidSpace() {
  return `${fs.readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim()} ${fs.readlinkSync('/proc/self/ns/pid')}`;
}
