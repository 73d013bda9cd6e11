// The commands of a cluster as a test runs them: in its own process, in a folder with a small model, samples and a campaign of
// two jobs, against a real API server over a real nats-server.
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { cluster } from '../../cli/cluster.ts';
import { jobs } from '../../cli/jobs.ts';
import { runCommandLine } from '../../cli/run-command-line.ts';
import type { JobResult } from '../../coordinator/jobs/job-record.ts';
import { type ApiSeat, ApiWorld, blobOf, upload } from './api-world.ts';
import { toyRows, writeRows } from './toy-data.ts';
import { writeToyModel } from './toy-model.ts';

const CAMPAIGN = `name: toys
defaults: {model: bert, data: train.jsonl, budgets: [0.5], samples: 32}
jobs:
  - name: first
  - name: second
    seed: 1
`;

export class CommandWorld {
  readonly world: ApiWorld;
  readonly api: ApiSeat;
  readonly folder: string;

  private constructor(world: ApiWorld, api: ApiSeat, folder: string) {
    this.world = world;
    this.api = api;
    this.folder = folder;
  }

  static async open(): Promise<CommandWorld> {
    const world = await ApiWorld.open();
    const folder = mkdtempSync(path.join(tmpdir(), 'espalier-commands-'));
    await writeToyModel(path.join(folder, 'bert'), { seed: 1 });
    await writeRows(path.join(folder, 'train.jsonl'), toyRows('sentence', { count: 32 }));
    writeFileSync(path.join(folder, 'campaign.yaml'), CAMPAIGN);
    return new CommandWorld(world, await world.seat(), folder);
  }

  async close(): Promise<void> {
    await this.world.close();
    rmSync(this.folder, { recursive: true });
  }

  readonly at = (...parts: string[]) => path.join(this.folder, ...parts);

  /** Runs a command in this process. @param signal ends it as Ctrl-C does. */
  readonly run = async (
    words: readonly string[],
    { signal = new AbortController().signal }: { readonly signal?: AbortSignal } = {},
  ) => {
    const written = { stdout: '', stderr: '' };
    const sink = (name: 'stdout' | 'stderr') => ({
      write: (text: string) => {
        written[name] += text;
      },
    });
    const exitCode = await runCommandLine(words, {
      ...{ stdout: sink('stdout'), stderr: sink('stderr'), cwd: this.folder, signal, jobs, cluster },
      env: { ESPALIER_COORDINATOR: this.api.address },
      now: () => performance.now(),
      onExit: () => () => {},
    });
    return { exitCode, ...written };
  };

  /** What a command that succeeds prints with --json. */
  readonly json = async (words: readonly string[]) => {
    const { exitCode, stdout, stderr } = await this.run([...words, '--json']);
    assert.equal(exitCode, 0, stderr);
    return JSON.parse(stdout);
  };

  /** Submits a campaign of its own and gives the ids of its jobs. */
  readonly submitted = async (key: string): Promise<{ campaign: string; ids: string[] }> => {
    const { campaign, jobs: stored } = await this.json(['submit', 'campaign.yaml', '--client-key', key]);
    return { campaign: campaign.id, ids: stored.map(({ id }: { id: string }) => id) };
  };

  /** Ends a job with these results, as a coordinator does. */
  readonly finish = async (id: string, results: readonly JobResult[]): Promise<void> => {
    await (await this.#claim(id)).finish(results);
  };

  readonly fail = async (id: string): Promise<void> => {
    await (await this.#claim(id)).fail({ code: 'model_format', message: 'bert: odd', action: 'save it again' });
  };

  /** Files of a result in the store, which only look like a model. */
  readonly result = async (
    budget: string,
    report: object = { of: `report.json ${budget}` },
  ): Promise<{ result: JobResult; bytes: Map<string, Buffer> }> => {
    const bytes = new Map(
      ['config.json', 'model.safetensors', 'masks.json', 'report.json'].map((name) => [
        name,
        Buffer.from(
          name === 'report.json'
            ? JSON.stringify(report)
            : name === 'model.safetensors'
              ? `weights ${budget} `.repeat(100_000)
              : `{"of":"${name} ${budget}"}`,
        ),
      ]),
    );
    const files = [];
    for (const [name, content] of bytes) {
      const blob = blobOf(content);
      await upload(this.api.blobs, blob);
      files.push({ name, digest: blob.digest, sizeBytes: blob.sizeBytes });
    }
    return { result: { budget, files, report: { of: 'report' } }, bytes };
  };

  async #claim(id: string) {
    const job = await this.api.store.claim(id, await this.api.lease(`runner-${id}`), () => false);
    assert.ok(job !== null && job !== 'ended');
    return job;
  }
}
