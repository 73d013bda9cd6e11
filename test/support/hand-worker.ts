// A worker process that was started by hand, as on another machine: with a blob folder of its own, found by its log.
import { spawn } from 'node:child_process';
import path from 'node:path';
import { after } from 'node:test';
import { projectRoot } from '../../shared/project-root.ts';
import { until } from './until.ts';

const START_MS = 60_000;

export interface HandWorker {
  readonly pid: number;
  readonly port: number;
  readonly address: string;
  /** What it has logged so far. */
  log(): string;
  /** Ends it. Resolves when it is gone. */
  kill(signal: NodeJS.Signals): Promise<void>;
}

/** Resolves when the worker serves. It is ended after the tests of the file, or after the test that starts it. */
export async function startWorker(...where: Parameters<typeof startHandWorker>): Promise<HandWorker> {
  const worker = await startHandWorker(...where);
  after(() => worker.kill('SIGKILL'));
  return worker;
}

/** Workers that stay up for all tests of a file, each started when so many are first asked for. Whoever makes it closes it. */
export class HandWorkers {
  readonly #blobDir: string;
  readonly #started: Promise<HandWorker>[] = [];

  /** @param blobDir its name is the start of those of their folders. */
  constructor(blobDir: string) {
    this.#blobDir = blobDir;
  }

  /** Of the first so many. */
  async addresses(count: number): Promise<readonly string[]> {
    while (this.#started.length < count)
      this.#started.push(startHandWorker(`${this.#blobDir}-${this.#started.length + 1}`));
    return (await Promise.all(this.#started.slice(0, count))).map(({ address }) => address);
  }

  async close(): Promise<void> {
    for (const worker of await Promise.allSettled(this.#started))
      if (worker.status === 'fulfilled') await worker.value.kill('SIGKILL');
  }
}

/** Resolves when the worker serves; it is gone when it does not. Whoever starts it ends it. */
export async function startHandWorker(
  blobDir: string,
  port = 0,
  where: readonly string[] = ['--host', '127.0.0.1'],
): Promise<HandWorker> {
  const program = path.join(projectRoot(), 'dist/worker/main.js');
  const flags = [...where, '--port', String(port), '--metrics-port', '0', '--device', 'cpu', '--blob-dir', blobDir];
  const child = spawn(process.execPath, [program, ...flags], { stdio: ['ignore', 'ignore', 'pipe'] });
  const gone = new Promise<void>((resolve) => child.once('exit', () => resolve()));
  let log = '';
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    log += text;
  });
  const serving = () => log.split('\n').find((line) => line.includes('"message":"serving"'));
  try {
    await until('the worker serves', () => serving() !== undefined || child.exitCode !== null, START_MS);
    if (serving() === undefined) throw new Error(`the worker ended: ${log}`);
  } catch (caught) {
    child.kill('SIGKILL');
    throw caught;
  }
  const { port: bound } = JSON.parse(serving() as string) as { port: number };
  return {
    pid: child.pid ?? 0,
    port: bound,
    address: `127.0.0.1:${bound}`,
    log: () => log,
    kill(signal) {
      child.kill(signal);
      return gone;
    },
  };
}
