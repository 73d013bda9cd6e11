// The command line as a user of a test's cluster has it: every call is a process of its own.
import { execFile } from 'node:child_process';
import { mkdirSync } from 'node:fs';
import path from 'node:path';
import { projectRoot } from '../../shared/project-root.ts';
import type { Cluster } from './cluster.ts';

const DEADLINE_MS = 120_000;
const MAX_OUTPUT_BYTES = 64 * 1024 * 1024;

export interface Answer {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** Runs a command against a coordinator. @param to its name, or an address; left out: the first that runs. */
export function command(
  cluster: Cluster,
  args: readonly string[],
  { to, flags = [], signal }: { to?: string; flags?: readonly string[]; signal?: AbortSignal } = {},
): Promise<Answer> {
  const address = to?.includes(':') ? to : cluster.clientAddress(to);
  const program = path.join(projectRoot(), 'cli/espalier.mjs');
  const folder = cluster.folderOf('client', 'home');
  const env = { ...process.env, NODE_OPTIONS: '', XDG_CACHE_HOME: folder, TMPDIR: cluster.folderOf('client', 'tmp') };
  mkdirSync(folder, { recursive: true });
  return new Promise((resolve) => {
    execFile(
      process.execPath,
      [program, ...args, '--coordinator', address, ...flags],
      {
        cwd: folder,
        env,
        timeout: DEADLINE_MS,
        maxBuffer: MAX_OUTPUT_BYTES,
        killSignal: 'SIGKILL',
        ...(signal && { signal }),
      },
      (error, stdout, stderr) => {
        const code = error === null ? 0 : typeof error.code === 'number' ? error.code : -1;
        resolve({ code, stdout, stderr });
      },
    );
  });
}
