// The life of a prune job on one machine: check the inputs, take the output folder, start workers, run the stages, and the
// output appears whole.
import { createHash } from 'node:crypto';
import { writeFile } from 'node:fs/promises';
import type { Checkpoint } from '../checkpoint/open-checkpoint.ts';
import { writePrunedCheckpoint } from '../checkpoint/write-pruned.ts';
import { EspalierError } from '../shared/errors.ts';
import { Releases } from '../shared/lifecycle.ts';
import { openBlobCache } from './job/blob-cache.ts';
import { buildReport } from './job/build-report.ts';
import type { RunContext } from './job/job-context.ts';
import { latencyCache, readTableFile, tableText } from './job/latency-cache.ts';
import { localWeights, modelFiles } from './job/model-blobs.ts';
import { openPruneInputs, outputBytes, runFingerprint } from './job/prune-inputs.ts';
import { writeModelOnnx } from './job/write-model-onnx.ts';
import { pruneModel, storedPlan, writeReport } from './prune-model.ts';
import type { PruneReport } from './prune-report.ts';
import type { PruneSettings } from './prune-settings.ts';
import { PAGE_FILE } from './report/page-mark.ts';
import { reportedJob } from './report/reported-job.ts';
import { compileSearch } from './stages/compile-search.ts';
import { macsSearch } from './stages/find-masks.ts';
import { requireReplaceable } from './store/own-output.ts';
import { openRunFolder } from './store/run-folder.ts';
import { openRearrange, type Rearrange } from './threads/rearrange-threads.ts';
import { ForkedWorkers } from './workers/forked-workers.ts';
import { openWorkers } from './workers/workers.ts';

/** Prunes a model to every budget of the settings and writes `out`. @throws EspalierError; the output is then as before,
 * and what was finished is kept for `resume`, unless the model's numbers are not finite or no model loses as little as is allowed. */
export async function runPruneJob(settings: PruneSettings, { signal, onEvent }: RunContext): Promise<PruneReport[]> {
  const releases = new Releases();
  const start = performance.now();
  let isHopeless = false;
  try {
    onEvent({ kind: 'stage-started', stage: 'load', steps: 1 });
    if (settings.force) await requireReplaceable(settings.out);
    const { latencyTable, otherMachine = false } = settings;
    const given = latencyTable ? { ...(await givenTable(latencyTable)), otherMachine } : null;
    const blobs = await openBlobCache();
    const forked = new ForkedWorkers({ settings: settings.workers, blobDir: blobs.folder, signal });
    releases.add(() => forked.close({ graceMs: 0 }));
    // What needs the model alone begins while samples are read: workers load it, threads compile what they will run.
    const ahead: { threads?: Rearrange } = {};
    const begin = async (checkpoint: Checkpoint) => {
      forked.load(await modelFiles(checkpoint));
      const { layers, heads, intermediateSize: neurons } = checkpoint.config;
      const threads = openRearrange({ layers, heads, neurons }, signal);
      releases.add(() => threads.close());
      ahead.threads = threads;
    };
    const inputs = await openPruneInputs(settings, releases, onEvent, begin);
    const folder = await openRunFolder({
      out: settings.out,
      force: settings.force,
      resume: settings.resume,
      fingerprint: { ...runFingerprint(settings, inputs), ...(given && { latencyTable: given.digest }) },
      onNotice: (text) => onEvent({ kind: 'notice', text }),
    });
    releases.add(() => (isHopeless ? folder.abandon() : folder.close()));
    await folder.requireSpace(outputBytes(settings, inputs.model.checkpoint));
    signal.throwIfAborted();
    const stored = await storedPlan(folder);
    // Workers are starting, and nobody waits for it.
    const { config } = inputs.model.checkpoint;
    if (settings.search === 'paper') compileSearch(macsSearch(config, inputs.costs, settings), config);
    const workers = await openWorkers({
      settings: settings.workers,
      blobDir: blobs.folder,
      forked,
      deviceClass: stored?.deviceClass ?? null,
      onEvent,
      signal,
    });
    releases.add(() => workers.close());
    const loadSeconds = (performance.now() - start) / 1000;
    onEvent({ kind: 'stage-finished', stage: 'load', seconds: loadSeconds, reused: false });

    const environment = {
      ...{ workers, signal, emit: onEvent, home: folder, weights: localWeights(blobs.store) },
      lendBlob: (file: string, digest: string) => blobs.store.link(file, digest),
      compute: { rearrange: ahead.threads!.rearrange, write: writePrunedCheckpoint, writeOnnx: writeModelOnnx },
      mostSumBytes: Number.POSITIVE_INFINITY,
      latencyTables: { given, cache: latencyCache() },
    };
    const finished = await pruneModel(settings, inputs, environment, stored);
    const seconds = { load: loadSeconds, total: (performance.now() - start) / 1000 };
    const reports: PruneReport[] = [];
    for (const measured of finished.budgets) {
      const report = buildReport(settings, inputs, workers, finished, measured, seconds, settings);
      await writeReport(folder, measured.budget.text, report);
      reports.push(report);
    }
    // Loaded here: plotting takes a second to load, which a job that is refused should not wait for.
    const { jobPage } = await import('./report/job-page.ts');
    const reported = finished.budgets.map(({ budget }, i) => ({ name: budget.text, report: reports[i] }));
    await writeFile(folder.staged(PAGE_FILE), jobPage(reportedJob(reports[0].model.name, reported)));
    signal.throwIfAborted();
    await folder.commit();
    return reports;
  } catch (caught) {
    // Resumed, the same inputs would give the same numbers.
    isHopeless = caught instanceof EspalierError && ['not_finite', 'drop_exceeded'].includes(caught.code);
    throw caught;
  } finally {
    await releases.run();
  }
}

async function givenTable(file: string) {
  const table = await readTableFile(file);
  return { table, file, digest: createHash('sha256').update(tableText(table)).digest('hex') };
}
