// Commands in the test's own process, on workers that stay up: they compute, write and tell what the program does, by
// the same words, and save the start of a process and of an engine each.
import assert from 'node:assert/strict';
import { Command } from 'commander';
import { cluster } from '../../cli/cluster.ts';
import { addWorkerOptions } from '../../cli/command-options.ts';
import { jobs } from '../../cli/jobs.ts';
import { runCommandLine } from '../../cli/run-command-line.ts';
import { HandWorkers } from './hand-worker.ts';

const OPTIONS = new Command();
addWorkerOptions(OPTIONS);
const WORKER_FLAGS: ReadonlySet<string | undefined> = new Set(OPTIONS.options.map(({ long }) => long));

/** Which of a command's words are flags that say what it computes on. Workers that stay up know none of them. */
export function workerFlagsIn(words: readonly string[]): readonly string[] {
  return words.filter((word) => WORKER_FLAGS.has(word.split('=', 1)[0]));
}

/** How a command ended. */
export interface Finished {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
  readonly stdout: string;
  readonly stderr: string;
  readonly seconds: number;
}

/** Runs one command at a time. Whoever makes it closes it. */
export class CommandsHere {
  readonly #cwd: string;
  readonly #env: Readonly<Record<string, string>>;
  readonly #workers: HandWorkers;
  /** Variables that they were started with. */
  #settings: readonly string[] | null = null;

  /** @param env what the program would be started with besides the test's own environment. */
  constructor(cwd: string, env: Readonly<Record<string, string>>, blobDir: string) {
    this.#cwd = cwd;
    this.#env = env;
    this.#workers = new HandWorkers(blobDir);
  }

  /** Runs a command on workers that stay up, which are started when so many are first asked for. They compute on the CPU. */
  async runOnWorkers(words: readonly string[], count: number): Promise<Finished> {
    assert.deepEqual(workerFlagsIn(words), [], 'workers that stay up are as they are');
    const settings = Object.entries(process.env).flatMap(([name, value]) =>
      name.startsWith('ESPALIER_') ? [`${name}=${value}`] : [],
    );
    this.#settings ??= settings;
    assert.deepEqual(settings, this.#settings, 'workers that stay up have the variables that they were started with');
    const addresses = await this.#workers.addresses(count);
    return this.run([...words, ...addresses.flatMap((address) => ['--worker', address])]);
  }

  async run(words: readonly string[]): Promise<Finished> {
    const begin = performance.now();
    const written = { stdout: '', stderr: '' };
    const sink = (name: 'stdout' | 'stderr') => ({
      write: (text: string) => {
        written[name] += text;
      },
    });
    const exits = new Set<() => void>();
    const before = Object.fromEntries(Object.keys(this.#env).map((name) => [name, process.env[name]]));
    const folder = process.cwd();
    // Some settings are read, and some paths resolved, where they are needed.
    Object.assign(process.env, this.#env);
    process.chdir(this.#cwd);
    try {
      const code = await runCommandLine(words, {
        ...{ stdout: sink('stdout'), stderr: sink('stderr'), jobs, cluster },
        ...{ cwd: this.#cwd, env: { ...process.env }, signal: new AbortController().signal },
        now: () => performance.now(),
        onExit(callback) {
          exits.add(callback);
          return () => exits.delete(callback);
        },
      });
      return { code, signal: null, ...written, seconds: (performance.now() - begin) / 1000 };
    } finally {
      for (const callback of exits) callback();
      process.chdir(folder);
      for (const [name, value] of Object.entries(before))
        if (value === undefined) delete process.env[name];
        else process.env[name] = value;
    }
  }

  close(): Promise<void> {
    return this.#workers.close();
  }
}
