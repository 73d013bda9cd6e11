// One claimed job of a cluster, from its record to its results: inputs out of the object store or a volume, the same
// stages as on one machine, results into the object store. Holds no state of its own that another coordinator would miss:
// what has been finished is in the record.
import { mkdir, rm } from 'node:fs/promises';
import path from 'node:path';
import { WEIGHTS_FILE } from '../checkpoint/write-pruned.ts';
import { EspalierError } from '../shared/errors.ts';
import { Releases } from '../shared/lifecycle.ts';
import { buildReport } from './job/build-report.ts';
import {
  checkAllContent,
  checkContent,
  type GatheredInputs,
  gatherInputs,
  storeWeights,
  weightDigests,
} from './job/cluster-inputs.ts';
import { keepFiles, recordedReports, storeFiles } from './job/cluster-results.ts';
import { rearrangeBytes } from './job/fisher-file.ts';
import { InputLabels } from './job/input-labels.ts';
import type { JobCompute, PruneEnvironment, RunContext } from './job/job-context.ts';
import { outputBytes, type PruneInputs, runFingerprint } from './job/prune-inputs.ts';
import { readInputs } from './job/thread-inputs.ts';
import { threadWriting } from './job/thread-writing.ts';
import type { JobEvent } from './job-events.ts';
import type { JobResources } from './job-resources.ts';
import type { StandAside } from './jobs/held-job.ts';
import type { JobResult, JobSpec, StageEntry } from './jobs/job-record.ts';
import { pruneRequest } from './jobs/job-settings.ts';
import { pruneModel, storedPlan, writeReport } from './prune-model.ts';
import type { PruneRequest } from './prune-settings.ts';
import { ClusterHome } from './store/cluster-home.ts';
import { fingerprintDifferences } from './store/fingerprint.ts';
import { requireFreeSpace } from './store/free-space.ts';
import type { Fleet } from './workers/fleet.ts';
import type { BeginTry } from './workers/task-try.ts';

/** Of the memory that jobs share, for one: a node's sums of a sub-layer are up to 47 MB for BERT-base. */
export const MOST_SUM_BYTES = 128e6;

/** Beyond that many models all are looked through once more. */
const MOST_FINITE = 1000;

/** What runs one job; the job holds none of it open after it has ended. */
export interface ClusterJob extends RunContext {
  readonly id: string;
  readonly campaign: string;
  readonly priority: number;
  readonly spec: JobSpec;
  /** Stages that the record held when the job was claimed. */
  readonly stages: Readonly<Record<string, StageEntry>>;
  /** Puts one stage into the record, by compare-and-set. @throws EspalierError "lease_lost", "bus_unavailable". */
  commitStage(name: string, entry: StageEntry): Promise<void>;
  /** Shared by all jobs of this coordinator. */
  readonly resources: JobResources;
  readonly fleet: Fleet;
  /** Runs what wants nothing of workers; left out: as all else. */
  readonly aside?: StandAside;
  /** Told of each try of a task. */
  readonly beginTry?: BeginTry;
  /** A folder that no other job uses: made where it is missing, removed when the job ends. */
  readonly scratch: string;
}

/** Runs a claimed job to its end. @returns one result a budget, whose files are in the object store.
 * @throws EspalierError whose code says whether it would come again; the stages that were finished are in the record. */
export async function runClusterJob(job: ClusterJob): Promise<readonly JobResult[]> {
  const releases = new Releases();
  const labels = new InputLabels();
  try {
    return await run(job, releases, labels);
  } catch (caught) {
    throw labels.inError(caught);
  } finally {
    await releases.run();
  }
}

async function run(job: ClusterJob, releases: Releases, labels: InputLabels): Promise<readonly JobResult[]> {
  const { spec, resources, scratch, signal } = job;
  const { objects } = resources;
  const start = performance.now();
  const emit = (event: JobEvent) => job.onEvent(labels.inEvent(event));
  emit({ kind: 'stage-started', stage: 'load', steps: 1 });
  await rm(scratch, { recursive: true, force: true });
  await mkdir(scratch, { recursive: true });
  releases.add(() => rm(scratch, { recursive: true, force: true }));
  const gathered = await gatherInputs(spec, scratch, resources, releases, signal);
  labels.add(gathered);
  const request = pruneRequest(spec, gathered);
  const known = { digests: await weightDigests(gathered.model, resources), finite: resources.finiteModels };
  const inputs = await readInputs(request, resources, releases, emit, signal, known).catch(async (caught) => {
    // What a disk has damaged reads like a mistake of the user's, which would end the job for good.
    await checkAllContent(gathered, resources);
    throw caught;
  });
  await checkInputs(gathered, inputs, resources);
  noteFinite(inputs.model.digest.digest, resources.finiteModels);
  await requireFreeSpace(scratch, outputBytes(request, inputs.model.checkpoint));
  const home = new ClusterHome({
    stages: job.stages,
    objects,
    commit: (name, entry) => job.commitStage(name, entry),
    onNotice: (text) => emit({ kind: 'notice', text }),
    folder: path.join(scratch, 'output'),
    budgets: spec.budgets.map(({ text }) => text),
    signal,
  });
  await requireSameRun(home, request, inputs);
  const stored = await storedPlan(home);
  signal.throwIfAborted();
  const loadSeconds = (performance.now() - start) / 1000;
  emit({ kind: 'stage-finished', stage: 'load', seconds: loadSeconds, reused: false });

  // Waiting for a worker is no part of what the job takes.
  const workers = await job.fleet.join({
    ...{ id: job.id, campaign: job.campaign, priority: job.priority, signal, onEvent: emit },
    deviceClass: stored?.deviceClass ?? null,
    models: inputs.model.digest.files.map(({ sha256 }) => sha256),
    ...(job.beginTry && { beginTry: job.beginTry }),
  });
  releases.add(() => workers.close());
  const joined = performance.now();
  const aside: StandAside = (part) => {
    workers.rest?.();
    return job.aside === undefined ? part() : job.aside(part);
  };
  const weights = storeWeights(gathered.model, resources, home, signal);
  const environment: PruneEnvironment = {
    ...{ workers, signal, emit, home, weights, mostSumBytes: MOST_SUM_BYTES, memory: resources.memory },
    compute: {
      ...threadRearrange(resources, signal),
      ...threadWriting(resources, { model: request.model, signal, aside }),
    },
    latencyTables: { given: null, cache: resources.latencyTables },
  };
  const finished = await pruneModel(request, inputs, environment, stored);
  const seconds = { load: loadSeconds, total: loadSeconds + (performance.now() - joined) / 1000 };
  const names = {
    model: gathered.model.label,
    data: gathered.data.label,
    evaluation: gathered.evaluation?.label ?? null,
  };
  const reports = finished.budgets.map((measured) =>
    buildReport(request, inputs, workers, finished, measured, seconds, names),
  );
  const recorded = recordedReports(reports);
  return aside(async () => {
    const results: JobResult[] = [];
    for (const [i, { budget, digest, bytes }] of finished.budgets.entries()) {
      await writeReport(home, budget.text, reports[i]);
      // Weights were put there when they were written.
      const weightsFile = { name: WEIGHTS_FILE, digest, sizeBytes: bytes };
      const files = await storeFiles(await home.staging(budget.text), weightsFile, objects, signal);
      results.push({ budget: budget.text, files, report: recorded[i] });
    }
    signal.throwIfAborted();
    await keepFiles(results, objects);
    return results;
  });
}

function noteFinite(model: string, finite: Set<string>): void {
  if (finite.size >= MOST_FINITE) finite.clear();
  finite.add(model);
}

async function checkInputs(gathered: GatheredInputs, inputs: PruneInputs, resources: JobResources): Promise<void> {
  for (const { name, sha256 } of inputs.model.digest.files)
    await checkContent(gathered.model.known, path.join(gathered.model.path, name), sha256, resources);
  await checkContent(gathered.data.known, gathered.data.path, inputs.data.digest, resources);
  if (gathered.evaluation !== null && inputs.evaluation !== null)
    await checkContent(
      gathered.evaluation.known,
      gathered.evaluation.path,
      inputs.evaluation.dataset.digest,
      resources,
    );
}

export function threadRearrange(
  { threads, memory }: Pick<JobResources, 'threads' | 'memory'>,
  signal: AbortSignal,
): Pick<JobCompute, 'rearrange'> {
  return {
    async rearrange(fisher, masks, open) {
      const bytes = await rearrangeBytes(fisher, masks, open);
      const share = await memory.take({ least: bytes, most: bytes }, signal);
      try {
        return await threads.run('rearrange', { fisher, masks, ...(open && { open }) }, { signal });
      } finally {
        share.release();
      }
    },
  };
}

/** Stages that were stored for a model or data that a volume no longer holds are those of another job. */
async function requireSameRun(home: ClusterHome, request: PruneRequest, inputs: PruneInputs): Promise<void> {
  const fingerprint = runFingerprint(request, inputs);
  const before = await home.readJson<object>('run');
  if (before === null) return home.writeJson('run', fingerprint);
  const differences = fingerprintDifferences(before, fingerprint);
  if (differences.length > 0)
    throw new EspalierError('resume_mismatch', `the inputs changed since the job began: ${differences.join(', ')}`, {
      action: 'submit the job again',
    });
}
