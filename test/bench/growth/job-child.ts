// A job and its coordinator in a process of their own, so that the peak of its memory and its time are theirs alone; workers are
// its children.
import diagnostics from 'node:diagnostics_channel';
import { readFileSync } from 'node:fs';
import type { Socket } from 'node:net';
import { runPruneJob } from '../../../coordinator/prune-job.ts';
import { benchSettings } from '../bench-settings.ts';
import { answerParent } from '../gpu/child.ts';
import type { CurvePoint } from './figures.ts';
import type { JobStart } from './measure-job.ts';

/** Linux counts the time of processes in hundredths of a second. */
const TICKS_PER_SECOND = 100;
const LONGEST = 512;

const sockets: Socket[] = [];
diagnostics.subscribe('net.client.socket', (message) => {
  sockets.push((message as { socket: Socket }).socket);
});

answerParent<JobStart, Omit<CurvePoint, 'x'>>(async ({ workers, ...job }) => {
  // Blobs of earlier jobs would not be sent again.
  process.env.XDG_CACHE_HOME = `${job.out}-cache`;
  const settings = { ...benchSettings({ ...job, workers: `${workers}` }), maxLength: LONGEST };
  const startSeconds = performance.now() / 1000;
  const [{ seconds }] = await runPruneJob(settings, { signal: new AbortController().signal, onEvent: () => {} });
  const { load, fisher, search, rearrange, tune } = seconds;
  const { user, system } = process.cpuUsage();
  return {
    seconds: { load, fisher, search, rearrange, tune, all: performance.now() / 1000 - startSeconds },
    cpuSeconds: { coordinator: (user + system) / 1e6, workers: childSeconds() },
    coordinatorPeakBytes: peakBytes(),
    bytes: {
      in: sockets.reduce((sum, { bytesRead }) => sum + bytesRead, 0),
      out: sockets.reduce((sum, { bytesWritten }) => sum + bytesWritten, 0),
    },
  };
});

/** User and system time of children that have ended and were waited for. */
function childSeconds(): number {
  const text = readFileSync('/proc/self/stat', 'utf8');
  const fields = text.slice(text.lastIndexOf(')') + 2).split(' ');
  return (Number(fields[13]) + Number(fields[14])) / TICKS_PER_SECOND;
}

/** Of this program alone: what `resourceUsage` tells begins with the process that it was forked from. */
function peakBytes(): number {
  const [, kibibytes] = /^VmHWM:\s+(\d+) kB$/m.exec(readFileSync('/proc/self/status', 'utf8'))!;
  return Number(kibibytes) * 1024;
}
