// Jobs as a coordinator runs one that it has claimed, with a real object store and real workers, beside the same jobs on one
// machine.
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { mkdir, mkdtemp, readdir, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after } from 'node:test';
import { type ClusterJob, runClusterJob } from '../../coordinator/cluster-job.ts';
import { USUAL_TIMING } from '../../coordinator/job/timing-settings.ts';
import type { JobEvent } from '../../coordinator/job-events.ts';
import { type JobResources, openJobResources } from '../../coordinator/job-resources.ts';
import { dataFileName, isFileName } from '../../coordinator/jobs/file-names.ts';
import type {
  FileRef,
  FileSource,
  JobResult,
  JobSettings,
  JobSpec,
  StageEntry,
} from '../../coordinator/jobs/job-record.ts';
import { runPruneJob } from '../../coordinator/prune-job.ts';
import type { PruneReport } from '../../coordinator/prune-report.ts';
import type { PruneSettings } from '../../coordinator/prune-settings.ts';
import { CARD_FILE, modelCard } from '../../coordinator/report/model-card.ts';
import { blobOfFile } from '../../shared/blobs/blob-source.ts';
import type { Bus } from '../../shared/bus/bus.ts';
import { connectBus } from '../../shared/bus/nats-bus.ts';
import { HandWorkers } from './hand-worker.ts';
import { listedFleet } from './listed-fleet.ts';
import { NatsServer } from './nats-server.ts';
import { toyRows, writeRows } from './toy-data.ts';
import { writeToyModel } from './toy-model.ts';

export const BUDGETS = [
  { text: '0.40', value: 0.4 },
  { text: '0.7', value: 0.7 },
];
export const METHOD: JobSettings = {
  columns: {},
  budgets: BUDGETS,
  seed: 3,
  samples: 96,
  replacement: false,
  fisherGroup: 8,
  labels: 'data',
  method: 'paper',
  damping: 'ridge',
  search: 'paper',
  neuronMultiple: 1,
  macsLength: null,
  maxLength: null,
  stride: 128,
  metric: null,
  timing: USUAL_TIMING,
  dtype: null,
};

export interface Run {
  readonly record: Map<string, StageEntry>;
  readonly events: JobEvent[];
  readonly tasks: string[];
  readonly classes: (object | null)[];
  readonly results: Promise<readonly JobResult[]>;
}

type StartOptions = {
  record?: Map<string, StageEntry>;
  workers?: number;
  onCommit?: (name: string) => void;
  refuse?: (task: string) => Error | null;
} & Partial<Pick<ClusterJob, 'signal' | 'resources'>>;

export interface ClaimedJobs {
  readonly bus: Bus;
  readonly resources: JobResources;
  /** Model and data of METHOD, as uploaded files. */
  readonly uploaded: Pick<JobSpec, 'model' | 'data' | 'evaluation'>;
  /** Path in the folder of the tests; the same model and data are in its `volume`, which jobs know as "shared". */
  at(...names: string[]): string;
  upload(input: string, kind: 'model' | 'data'): Promise<FileSource>;
  /** The same job on one machine. */
  prunedHere(out: string, settings?: Partial<PruneSettings>): Promise<PruneReport[]>;
  /** Runs a job as its coordinator does. `onCommit` is called after each stage that is stored. */
  start(spec: Partial<JobSpec>, options?: StartOptions): Run;
  /** Every file of the results is that of the same job on one machine, the report but for where and when it ran. */
  assertSame(
    results: readonly JobResult[],
    out: string,
    reports: readonly PruneReport[],
    budgets?: JobSpec['budgets'],
  ): Promise<void>;
}

/** Opens what such jobs need, until the tests of the file are over. Call it at the top of the file. */
export async function openClaimedJobs(): Promise<ClaimedJobs> {
  const folder = await mkdtemp(path.join(tmpdir(), 'espalier-cluster-job-'));
  const at = (...names: string[]) => path.join(folder, ...names);
  process.env.XDG_CACHE_HOME = at('cache');
  let server: NatsServer | undefined;
  let bus: Bus | undefined;
  const workers = new HandWorkers(at('worker-blobs'));
  after(async () => {
    await workers.close();
    await bus?.close();
    await server?.remove();
    await rm(folder, { recursive: true, force: true });
  });
  await writeToyModel(at('volume/models/toy'), { layers: 2, hidden: 32, heads: 4, neurons: 64 });
  await mkdir(at('volume/data'));
  await writeRows(at('volume/data/train.jsonl'), toyRows('pair', { count: 200 }));
  await writeRows(at('volume/data/dev.jsonl'), toyRows('pair', { count: 60, seed: 1 }));
  server = await NatsServer.start();
  bus = await connectBus(server.settings(), { create: true });
  const { objects } = bus;
  const volumes = new Map([['shared', at('volume')]]);
  const resources = await openJobResources({
    ...{ objects, bus: server.settings(), cacheDir: at('objects'), cacheLimitBytes: 1e9, volumes },
  });
  const upload: ClaimedJobs['upload'] = (input, kind) => uploadTo(bus, input, kind);
  const uploaded = {
    model: await upload(at('volume/models/toy'), 'model'),
    data: await upload(at('volume/data/train.jsonl'), 'data'),
    evaluation: await upload(at('volume/data/dev.jsonl'), 'data'),
  };
  let runs = 0;
  return {
    ...{ bus, resources, uploaded, at, upload },
    async prunedHere(out, settings = {}) {
      const job: PruneSettings = {
        ...METHOD,
        ...{
          model: at('volume/models/toy'),
          data: at('volume/data/train.jsonl'),
          evaluation: at('volume/data/dev.jsonl'),
        },
        ...{
          out: at(out),
          force: false,
          resume: false,
          workers: { local: 0, addresses: await workers.addresses(1), device: 'cpu' },
        },
        ...settings,
      };
      return runPruneJob(job, { signal: new AbortController().signal, onEvent: () => {} });
    },
    start(spec, options = {}) {
      const record = options.record ?? new Map<string, StageEntry>();
      const events: JobEvent[] = [];
      const fleet = listedFleet(objects, () => workers.addresses(options.workers ?? 1), options.refuse);
      const results = runClusterJob({
        ...{ id: '0123456789abcdef', campaign: 'fedcba9876543210', priority: 0, fleet },
        ...{ signal: new AbortController().signal, resources, ...options },
        spec: { ...METHOD, ...uploaded, ...spec },
        stages: Object.fromEntries(record),
        async commitStage(name, entry) {
          options.signal?.throwIfAborted();
          // As it goes through a record.
          record.set(name, JSON.parse(JSON.stringify(entry)) as StageEntry);
          options.onCommit?.(name);
        },
        scratch: at(`scratch-${runs++}`),
        onEvent: (event) => events.push(event),
      });
      results.catch(() => {});
      return { record, events, tasks: fleet.tasks, classes: fleet.joined as never, results };
    },
    async assertSame(results, out, reports, budgets = BUDGETS) {
      assert.deepEqual(
        results.map(({ budget }) => budget),
        budgets.map(({ text }) => text),
      );
      for (const [i, { budget, files, report }] of results.entries()) {
        assert.deepEqual(content(report), content(reports[i]));
        const names = files.map(({ name }) => name);
        assert.deepEqual(names, (await readdir(at(out, budget))).sort());
        for (const file of files) {
          const bytes = await stored(bus, file);
          if (file.name === 'report.json') assert.deepEqual(JSON.parse(bytes.toString()), report);
          else if (file.name === CARD_FILE)
            assert.equal(
              bytes.toString(),
              modelCard(
                report as PruneReport,
                budget,
                names.filter((name) => name !== CARD_FILE),
              ),
            );
          else assert.deepEqual(bytes, await readFile(at(out, budget, file.name)), file.name);
        }
      }
    },
  };
}

async function uploadTo(bus: Bus, input: string, kind: 'model' | 'data'): Promise<FileSource> {
  const files: FileRef[] = [];
  const names = kind === 'data' ? [path.basename(input)] : (await readdir(input)).sort();
  for (const name of names) {
    const stored = kind === 'data' ? dataFileName(name) : name;
    assert.ok(isFileName(kind, stored), name);
    const blob = await blobOfFile(kind === 'data' ? input : path.join(input, name));
    await bus.objects.put(blob.digest, blob.sizeBytes, blob.open());
    files.push({ name: stored, digest: blob.digest, sizeBytes: blob.sizeBytes });
  }
  return { kind: 'blobs', label: path.basename(input), files };
}

/** What of a report may not depend on where and when the job ran. */
export function content(report: unknown): object {
  const { seconds, latency, speed, workers, workerTimes, steps: timed, ...rest } = report as PruneReport;
  assert.ok(seconds.total > 0 && latency !== null && speed.length > 1 && workers > 0);
  assert.ok(workerTimes!.every(({ tasks, seconds: byKind }) => tasks > 0 && Object.keys(byKind).length > 0));
  // A volume is part of what its user calls an input.
  const command = rest.command!.map((word) => path.basename(word));
  const data = { ...rest.data, name: path.basename(rest.data.name!) };
  const evaluation = rest.evaluation && { ...rest.evaluation, name: path.basename(rest.evaluation.name!) };
  const steps = timed?.map(({ seconds: _, ...step }) => step);
  return { ...rest, command, data, evaluation, ...(steps && { steps }) };
}

async function stored(bus: Bus, { digest, sizeBytes }: FileRef): Promise<Buffer> {
  const chunks: Uint8Array[] = [];
  for await (const chunk of bus.objects.open(digest)) chunks.push(chunk);
  const bytes = Buffer.concat(chunks);
  assert.equal(bytes.length, sizeBytes);
  assert.equal(createHash('sha256').update(bytes).digest('hex'), digest);
  return bytes;
}

export const reused = (events: readonly JobEvent[]) =>
  events.flatMap((event) => (event.kind === 'stage-finished' && event.reused ? [event.stage] : []));

export function weightsOf(source: FileSource): FileRef {
  assert.ok(source.kind === 'blobs');
  return source.files.find(({ name }) => name === 'model.safetensors')!;
}
