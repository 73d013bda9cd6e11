// The life of a prune job on one machine: check the inputs, take the output folder, start workers, plan, gradients, then
// every budget, and the output appears whole. Each stage is stored before the next begins (see job/job-context.ts).
import { writeFile } from 'node:fs/promises';
import path from 'node:path';
import type { EncodedSample } from '../dataset/encoded-sample.ts';
import type { BlobStore } from '../shared/blobs/blob-store.ts';
import { EspalierError } from '../shared/errors.ts';
import { Releases } from '../shared/lifecycle.ts';
import type { DeviceClass } from '../shared/rpc/protocol.ts';
import { openBlobCache } from './job/blob-cache.ts';
import { buildReport, type FinishedJob } from './job/build-report.ts';
import { withFittingBatches } from './job/fitting-batches.ts';
import type { JobContext, RunContext, TaskEnvironment } from './job/job-context.ts';
import { modelBlobs } from './job/model-blobs.ts';
import { drawnLabels } from './job/model-labels.ts';
import { openPruneInputs, outputBytes, type PruneInputs, runFingerprint } from './job/prune-inputs.ts';
import type { PruneReport } from './prune-report.ts';
import type { PruneSettings } from './prune-settings.ts';
import { exportBudget, type MeasuredBudget } from './stages/export.ts';
import { storedFisher } from './stages/fisher.ts';
import { latencyStage } from './stages/latency.ts';
import { planSamples, tokensPerBatch } from './stages/plan.ts';
import { pruneToBudget } from './stages/prune-budget.ts';
import { storedQuality } from './stages/quality.ts';
import { requireReplaceable } from './store/own-output.ts';
import { openRunFolder, type RunFolder } from './store/run-folder.ts';
import { openWorkers } from './workers/workers.ts';

/** Prunes a model to every budget of the settings and writes `out`. @throws EspalierError; the output is then as before,
 * and what was finished is kept for `resume`, unless the model's numbers are not finite. */
export async function runPruneJob(settings: PruneSettings, { signal, onEvent }: RunContext): Promise<PruneReport[]> {
  const releases = new Releases();
  const start = performance.now();
  let isHopeless = false;
  try {
    onEvent({ kind: 'stage-started', stage: 'load', steps: 1 });
    if (settings.force) await requireReplaceable(settings.out);
    const inputs = await openPruneInputs(settings, releases, onEvent);
    const folder = await openRunFolder({
      out: settings.out,
      force: settings.force,
      resume: settings.resume,
      fingerprint: runFingerprint(settings, inputs),
      onNotice: (text) => onEvent({ kind: 'notice', text }),
    });
    releases.add(() => (isHopeless ? folder.abandon() : folder.close()));
    await folder.requireSpace(outputBytes(settings, inputs.model.checkpoint));
    signal.throwIfAborted();
    const blobs = await openBlobCache();
    const stored = await folder.readJson<StoredPlan>('plan');
    const workers = await openWorkers({
      settings: settings.workers,
      blobDir: blobs.folder,
      deviceClass: stored?.deviceClass ?? null,
      onEvent,
      signal,
    });
    releases.add(() => workers.close());
    const loadSeconds = (performance.now() - start) / 1000;
    onEvent({ kind: 'stage-finished', stage: 'load', seconds: loadSeconds, reused: false });

    const { deviceClass } = workers;
    const parts = { workers, signal, emit: onEvent, folder, blobs: blobs.store };
    const finished = await withFittingBatches(stored?.tokensPerBatch ?? tokensPerBatch(deviceClass), onEvent, (limit) =>
      pruneAll(settings, inputs, parts, limit),
    );
    const seconds = { load: loadSeconds, total: (performance.now() - start) / 1000 };
    const reports: PruneReport[] = [];
    for (const measured of finished.budgets) {
      const report = buildReport(settings, inputs, workers, finished, measured, seconds);
      const file = path.join(await folder.staging(measured.budget.text), 'report.json');
      await writeFile(file, `${JSON.stringify(report, null, 2)}\n`);
      reports.push(report);
    }
    signal.throwIfAborted();
    await folder.commit();
    return reports;
  } catch (caught) {
    // Resumed, the same inputs would give the same numbers.
    isHopeless = caught instanceof EspalierError && caught.code === 'not_finite';
    throw caught;
  } finally {
    await releases.run();
  }
}

interface StoredPlan {
  readonly tokensPerBatch: number;
  readonly deviceClass: DeviceClass;
}

// Everything between load and commit, with batches of one size.
async function pruneAll(
  settings: PruneSettings,
  inputs: PruneInputs,
  parts: TaskEnvironment & { folder: RunFolder; blobs: BlobStore },
  tokensPerBatch: number,
): Promise<FinishedJob> {
  const { checkpoint } = inputs.model;
  const { config } = checkpoint;
  const { deviceClass } = parts.workers;
  await parts.folder.writeJson('plan', { tokensPerBatch, deviceClass } satisfies StoredPlan);
  const model = await modelBlobs(checkpoint, parts.blobs);
  const planned = (samples: readonly EncodedSample[], groupSize: number, heldOut: boolean) =>
    planSamples(samples, { config, device: deviceClass, groupSize, tokensPerBatch, heldOut });
  let calibration = planned(inputs.drawn.samples, inputs.groupSize, true);
  if (settings.labels === 'model')
    calibration = planned(await drawnLabels(parts, model, calibration, settings.seed), inputs.groupSize, true);
  const evaluation = inputs.evaluation && {
    ...inputs.evaluation,
    ...planned(inputs.evaluation.encoded.samples, 1, false),
  };
  const context: JobContext = { ...parts, checkpoint, model, calibration, evaluation };
  // Another plan, or other batches of the evaluation data, is another run: its stages lie apart.
  const prefix = `plan-${calibration.blob.digest.slice(0, 16)}-${tokensPerBatch}`;

  const dense = evaluation && (await storedQuality(context, model, null, { name: `${prefix}/quality-dense` }));
  const fisher = await storedFisher(context, `${prefix}/fisher`);
  const pruned: Pick<MeasuredBudget, 'budget' | 'result'>[] = [];
  for (const budget of settings.budgets)
    pruned.push({ budget, result: await pruneToBudget(context, fisher.value, inputs.costs, budget, settings, prefix) });
  const budgets: MeasuredBudget[] = [];
  for (const found of pruned)
    budgets.push(await exportBudget(context, found, settings, `${prefix}/budget-${found.budget.value}/quality-result`));
  const masks = pruned.map(({ result }) => result.masks);
  const latency = await latencyStage(context, masks);
  return {
    calibration,
    dense: dense?.value ?? null,
    denseSeconds: dense?.seconds ?? 0,
    fisherSeconds: fisher.seconds,
    latency: latency.shape,
    latencySeconds: latency.seconds,
    budgets,
  };
}
