// Which process something belongs to, told in a way that outlives it: a process id alone is used again after a while.
import { readFileSync, readlinkSync } from 'node:fs';

/** One process of one boot of one machine; no two processes ever have the same one. */
export interface ProcessIdentity {
  /** Kernel's id of this boot, without dashes; "0" where the system tells none. */
  readonly bootId: string;
  /** Inode of the process id namespace: containers of one machine each count from 1. */
  readonly pidNamespace: string;
  readonly pid: number;
  /** Clock ticks from boot to the start of the process (/proc/PID/stat, field 22); "0" where the system tells none. */
  readonly startTicks: string;
}

/** "unknown" for a process of another container, which cannot be seen from here. */
export type Liveness = 'live' | 'dead' | 'unknown';

/** Identity of a process of this boot and container: of this one unless told another. */
export function identityOf(pid: number = process.pid): ProcessIdentity {
  return {
    bootId: readBootId(),
    pidNamespace: readPidNamespace(),
    pid,
    startTicks: readStat(pid)?.startTicks ?? '0',
  };
}

/** Whether the process still runs. */
export function livenessOf(identity: ProcessIdentity): Liveness {
  if (identity.bootId !== readBootId()) return 'dead';
  if (identity.pidNamespace !== readPidNamespace()) return 'unknown';
  const stat = readStat(identity.pid);
  if (stat !== null && stat.startTicks !== identity.startTicks) return 'dead';
  return isRunning(identity.pid) ? 'live' : 'dead';
}

/** Whether a process of this container has this id now, be it another one than before. One that has ended and waits for its
 * parent does not run. */
export function isRunning(pid: number): boolean {
  const stat = readStat(pid);
  // Some systems show nobody the processes of others.
  if (stat === null) return answersSignals(pid);
  return stat.state !== 'Z' && stat.state !== 'X';
}

/** As part of a file's name. */
export function formatIdentity({ bootId, pidNamespace, pid, startTicks }: ProcessIdentity): string {
  return `${bootId}-${pidNamespace}-${pid}-${startTicks}`;
}

/** Inverse of `formatIdentity`; null for any other text. */
export function parseIdentity(text: string): ProcessIdentity | null {
  const match = /^([0-9a-f]+)-(\d+)-(\d+)-(\d+)$/.exec(text);
  if (match === null) return null;
  const [, bootId = '', pidNamespace = '', pid = '', startTicks = ''] = match;
  return { bootId, pidNamespace, pid: Number(pid), startTicks };
}

function readBootId(): string {
  return readOrNull(() => readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim().replaceAll('-', '')) ?? '0';
}

function readPidNamespace(): string {
  return readOrNull(() => readlinkSync('/proc/self/ns/pid').replace(/\D/g, '')) || '0';
}

function readStat(pid: number): { readonly state: string; readonly startTicks: string } | null {
  const text = readOrNull(() => readFileSync(`/proc/${pid}/stat`, 'utf8'));
  if (text === null) return null;
  // Field 2 is the program's name in brackets and may itself hold spaces and brackets: count from the last bracket.
  const fields = text.slice(text.lastIndexOf(')') + 2).split(' ');
  return { state: fields[0] ?? '', startTicks: fields[19] ?? '0' };
}

function answersSignals(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (caught) {
    return (caught as NodeJS.ErrnoException).code === 'EPERM';
  }
}

function readOrNull(read: () => string): string | null {
  try {
    return read();
  } catch {
    return null;
  }
}
