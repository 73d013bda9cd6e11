// A real nats-server with JetStream, on a free port of 127.0.0.1 that it keeps when it is started again.
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { pathToFileURL } from 'node:url';
import type { BusSettings } from '../../shared/bus/bus.ts';
import { cacheFolder } from '../../shared/cache-folder.ts';
import { projectRoot } from '../../shared/project-root.ts';
import { until } from './until.ts';

// The set-up knows where it puts things; being plain JavaScript, it has no types.
const setup: { natsServerFile(context: { cache: string }): string } = await import(
  pathToFileURL(path.join(projectRoot(), 'setup/nats-server.mjs')).href
);

// Where the set-up has put it: tests that take another cache folder for themselves do so later.
const installed = setup.natsServerFile({ cache: path.dirname(cacheFolder('nats')) });

/** The binary of the set-up, or the one that ESPALIER_NATS_SERVER names. */
export function natsServerBinary(): string {
  const file = process.env.ESPALIER_NATS_SERVER || installed;
  if (!existsSync(file)) throw new Error(`${file}: no nats-server; run npm run setup or set ESPALIER_NATS_SERVER`);
  return file;
}

export interface NatsServerOptions {
  /** More for its configuration file, which has the store; the address is given by flags. */
  readonly config?: string;
  /** A whole configuration file in its place; its address is overruled. */
  readonly configFile?: string;
  /** Host of `url`: what a certificate names. */
  readonly host?: string;
  readonly scheme?: 'nats' | 'tls';
}

/** Whoever starts it removes it. */
export class NatsServer {
  readonly folder: string;
  readonly #options: NatsServerOptions;
  #port = 0;
  #process: ChildProcess | null = null;
  #output = '';

  private constructor(options: NatsServerOptions) {
    this.folder = mkdtempSync(path.join(tmpdir(), 'espalier-nats-'));
    this.#options = options;
  }

  static async start(options: NatsServerOptions = {}): Promise<NatsServer> {
    const server = new NatsServer(options);
    try {
      await server.start();
      return server;
    } catch (caught) {
      await server.remove();
      throw caught;
    }
  }

  get port(): number {
    return this.#port;
  }

  get url(): string {
    return `${this.#options.scheme ?? 'nats'}://${this.#options.host ?? '127.0.0.1'}:${this.#port}`;
  }

  get pid(): number {
    return this.#process!.pid!;
  }

  /** What it wrote to its log, of all its lives. */
  get log(): string {
    return this.#output;
  }

  settings(replaced: Partial<BusSettings> = {}): BusSettings {
    return { servers: [this.url], credentials: null, tls: null, ...replaced };
  }

  /** Starts it on its store, and on the port that it had. */
  async start(): Promise<void> {
    const ports = mkdtempSync(path.join(this.folder, 'ports-'));
    const flags = ['-a', '127.0.0.1'];
    flags.push('-p', this.#port === 0 ? '-1' : String(this.#port), '--ports_file_dir', ports);
    flags.push('-c', this.#options.configFile ?? this.#writeConfig());
    const started = spawn(natsServerBinary(), flags, { stdio: ['ignore', 'ignore', 'pipe'] });
    this.#process = started;
    const from = this.#output.length;
    started.stderr!.on('data', (text: Buffer) => {
      this.#output = (this.#output + text.toString()).slice(-1_000_000);
    });
    const isReady = () => this.#output.includes('Server is ready', from) && listedPort(ports) !== null;
    await until('nats-server to start', () => isReady() || started.exitCode !== null, 20_000);
    if (started.exitCode !== null) throw new Error(`nats-server ended: ${this.#output.slice(from)}`);
    if (this.#port === 0) this.#port = listedPort(ports)!;
  }

  #writeConfig(): string {
    const file = path.join(this.folder, 'nats.conf');
    const store = path.join(this.folder, 'store');
    // Streams reserve what they may take; by default the server gives no more than the disk has.
    writeFileSync(file, `jetstream { store_dir: "${store}", max_file_store: 1TB }\n${this.#options.config ?? ''}`);
    return file;
  }

  /** Ends it, by default as a crash does; its store stays. */
  async stop(signal: 'SIGTERM' | 'SIGKILL' = 'SIGKILL'): Promise<void> {
    const running = this.#process;
    this.#process = null;
    if (running === null || running.exitCode !== null || running.signalCode !== null) return;
    const ended = once(running, 'exit');
    running.kill('SIGCONT');
    running.kill(signal);
    await ended;
  }

  async restart(signal: 'SIGTERM' | 'SIGKILL' = 'SIGKILL'): Promise<void> {
    await this.stop(signal);
    await this.start();
  }

  /** Returns when all of its threads stand still. */
  freeze(): void {
    this.#process!.kill('SIGSTOP');
    const tasks = `/proc/${this.pid}/task`;
    const isStopped = (task: string) => / T /.test(readFileSync(path.join(tasks, task, 'stat'), 'utf8').slice(0, 60));
    for (const end = Date.now() + 5_000; Date.now() < end; ) if (readdirSync(tasks).every(isStopped)) return;
    throw new Error('nats-server did not stop');
  }

  thaw(): void {
    this.#process?.kill('SIGCONT');
  }

  async remove(): Promise<void> {
    await this.stop();
    rmSync(this.folder, { recursive: true, force: true });
  }
}

/** The port that the server has written down; null until the file is whole. */
function listedPort(folder: string): number | null {
  const [file] = readdirSync(folder);
  if (file === undefined) return null;
  const text = readFileSync(path.join(folder, file), 'utf8');
  if (!text.trimEnd().endsWith('}')) return null;
  return Number(new URL((JSON.parse(text) as { nats: string[] }).nats[0]!).port);
}
