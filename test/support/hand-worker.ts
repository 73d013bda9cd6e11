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

/** Resolves when the worker serves. It is ended after the tests of the file. */
export async function startWorker(
  blobDir: string,
  port = 0,
  where: readonly string[] = ['--host', '127.0.0.1'],
): Promise<HandWorker> {
  const program = path.join(projectRoot(), 'dist/worker/main.js');
  const flags = [...where, '--port', String(port), '--metrics-port', '0', '--device', 'cpu', '--blob-dir', blobDir];
  const child = spawn(process.execPath, [program, ...flags], { stdio: ['ignore', 'ignore', 'pipe'] });
  after(() => child.kill('SIGKILL'));
  let log = '';
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    log += text;
  });
  const serving = () => log.split('\n').find((line) => line.includes('"message":"serving"'));
  await until('the worker serves', () => serving() !== undefined, START_MS);
  const { port: bound } = JSON.parse(serving() as string) as { port: number };
  const gone = new Promise<void>((resolve) => child.once('exit', () => resolve()));
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
