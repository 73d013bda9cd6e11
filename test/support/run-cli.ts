// Runs the command as a user does, in a process of its own with a cache folder of its own.
import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after } from 'node:test';
import type { EvaluateReport } from '../../coordinator/evaluate-settings.ts';
import type { PruneReport } from '../../coordinator/prune-report.ts';
import { ERROR_CODES, type ErrorCode } from '../../shared/errors.ts';
import { projectRoot } from '../../shared/project-root.ts';
import { descendantsOf, isRunning } from './processes.ts';
import { CommandsHere, type Finished, workerFlagsIn } from './run-here.ts';
import { until } from './until.ts';

/** Longest that any command of these tests takes on a busy machine. */
const DEADLINE_MS = 300_000;

/** A command that runs. */
export interface Running {
  readonly pid: number;
  readonly finished: Promise<Finished>;
  /** What it has printed to standard error so far. */
  stderr(): string;
  /** Resolves as soon as standard error holds the text. */
  printed(text: string | RegExp): Promise<void>;
  kill(signal: NodeJS.Signals): void;
  /** To its whole process group, as a terminal does. */
  killGroup(signal: NodeJS.Signals): void;
}

export interface Workspace {
  /** Folder that is removed after the tests of the file. */
  readonly folder: string;
  path(...parts: string[]): string;
  start(args: readonly string[], env?: NodeJS.ProcessEnv): Running;
  run(args: readonly string[], env?: NodeJS.ProcessEnv): Promise<Finished>;
  /** Runs a command in the test's own process: in place of `run` where the process is not what is tested. */
  runHere(args: readonly string[]): Promise<Finished>;
  /** `runHere` on workers that stay up for all of them, on the CPU; left out: one. Arguments that say anything of workers are
   * refused. */
  runOnWorkers(args: readonly string[], count?: number): Promise<Finished>;
  /** Prunes with --json, which must succeed: as `runOnWorkers` does, or, when the arguments say anything of workers, in a process
   * of its own on what they say. */
  prune(...args: string[]): Promise<PruneReport[]>;
  /** `prune` on so many workers that stay up. */
  pruneOnWorkers(count: number, ...args: string[]): Promise<PruneReport[]>;
  /** Evaluates as `prune` prunes. */
  evaluate(...args: string[]): Promise<EvaluateReport>;
}

/** A folder for the tests of one file. Call it at the top of the file. */
export async function openWorkspace(): Promise<Workspace> {
  const folder = await mkdtemp(path.join(tmpdir(), 'espalier-e2e-'));
  const running = new Set<ChildProcess>();
  const own = { XDG_CACHE_HOME: path.join(folder, 'cache') };
  const here = new CommandsHere(folder, own, path.join(folder, 'worker-blobs'));
  after(async () => {
    for (const child of running) child.kill('SIGKILL');
    await here.close();
    await rm(folder, { recursive: true, force: true });
  });
  const start = (args: readonly string[], env: NodeJS.ProcessEnv = {}): Running => {
    const child = spawn(process.execPath, [path.join(projectRoot(), 'cli/espalier.mjs'), ...args], {
      cwd: folder,
      // A group of its own, so that a test can signal all of it.
      detached: true,
      stdio: ['ignore', 'pipe', 'pipe'],
      env: { ...process.env, ...own, NODE_OPTIONS: '', ...env },
    });
    running.add(child);
    const finished = finish(child);
    void finished.finally(() => running.delete(child));
    return finished.handle;
  };
  const run = (args: readonly string[], env?: NodeJS.ProcessEnv) => start(args, env).finished;
  const runHere = (args: readonly string[]) => here.run(args);
  const runOnWorkers = (args: readonly string[], count = 1) => here.runOnWorkers(args, count);
  const json = async (args: readonly string[], count?: number) => {
    const words = [...args, '--json'];
    const isAlone = count === undefined && workerFlagsIn(args).length > 0;
    const { code, stdout, stderr } = await (isAlone ? run(words) : runOnWorkers(words, count));
    assert.equal(code, 0, stderr);
    return JSON.parse(stdout);
  };
  return {
    folder,
    path: (...parts) => path.join(folder, ...parts),
    start,
    run,
    runHere,
    runOnWorkers,
    prune: async (...args) => (await json(['prune', ...args])).runs,
    pruneOnWorkers: async (count, ...args) => (await json(['prune', ...args], count)).runs,
    evaluate: (...args) => json(['evaluate', ...args]),
  };
}

function finish(child: ChildProcess): Promise<Finished> & { handle: Running } {
  const begin = performance.now();
  let stdout = '';
  let stderr = '';
  child.stdout?.setEncoding('utf8').on('data', (text: string) => {
    stdout += text;
  });
  child.stderr?.setEncoding('utf8').on('data', (text: string) => {
    stderr += text;
  });
  const finished = new Promise<Finished>((resolve, reject) => {
    const timer = setTimeout(() => {
      child.kill('SIGKILL');
      reject(new Error(`still running after ${DEADLINE_MS} ms; standard error: ${stderr}`));
    }, DEADLINE_MS);
    child.once('error', reject);
    child.once('close', (code, signal) => {
      clearTimeout(timer);
      resolve({ code, signal, stdout, stderr, seconds: (performance.now() - begin) / 1000 });
    });
  });
  const pid = child.pid ?? 0;
  const handle: Running = {
    pid,
    finished,
    stderr: () => stderr,
    printed: (text) =>
      until(
        `${text} on standard error`,
        () => {
          if (typeof text === 'string' ? stderr.includes(text) : text.test(stderr)) return true;
          assert.equal(child.exitCode ?? child.signalCode, null, `ended before it printed ${text}: ${stderr}`);
          return false;
        },
        DEADLINE_MS,
      ),
    kill: (signal) => process.kill(pid, signal),
    killGroup: (signal) => process.kill(-pid, signal),
  };
  return Object.assign(finished, { handle });
}

/** All processes that the command has started, noted now, are gone within a deadline. */
export async function noneLeft(pids: readonly number[], deadlineMs = 3_000): Promise<void> {
  await until(`processes ${pids.join(', ')} are gone`, () => !pids.some(isRunning), deadlineMs);
}

/** The command and its descendants. */
export function family({ pid }: Running): number[] {
  return [pid, ...descendantsOf(pid)];
}

/** The one line of standard error that tells of a failure; other lines may only be progress and notices. */
export function errorLine({ stderr }: Finished): string {
  assert.doesNotMatch(stderr, /^\s+at /m, 'a stack trace');
  const lines = stderr.split('\n').filter((line) => line.startsWith('espalier: '));
  assert.equal(lines.length, 1, stderr);
  assert.equal(stderr.trimEnd().split('\n').at(-1), lines[0], 'the error comes last');
  return lines[0];
}

/** Asserts that a command failed with this code and the exit code that belongs to it, in one line that holds the texts. */
export function assertFailed(finished: Finished, code: ErrorCode, ...texts: string[]): void {
  const line = errorLine(finished);
  assert.ok(line.startsWith(`espalier: [${code}] `), line);
  for (const text of texts) assert.ok(line.includes(text), `expected "${text}" in: ${line}`);
  assert.equal(finished.code, ERROR_CODES[code].exitCode);
  assert.equal(finished.stdout, '');
}

/** Asserts that neither the output nor anything of its run is there. */
export function assertNothingWritten(out: string): void {
  const parent = path.dirname(out);
  if (!existsSync(parent)) return;
  const name = path.basename(out);
  assert.deepEqual(
    readdirSync(parent).filter((entry) => entry === name || entry.startsWith(`.${name}.`)),
    [],
  );
}

export function readJson<T>(...parts: string[]): T {
  return JSON.parse(readFileSync(path.join(...parts), 'utf8')) as T;
}
