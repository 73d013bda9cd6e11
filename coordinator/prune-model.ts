// The stages of a prune job between load and commit, the same on one machine and in a cluster: plan, gradients, then every
// budget, by the method that was asked for. Stages are stored in the job's home in their order, each while the next one computes
// (job/writes-behind.ts), so that whoever calls this again with the same home goes on after the last one that was stored.
import { readdir, writeFile } from 'node:fs/promises';
import path from 'node:path';
import type { EncodedSample } from '../dataset/encoded-sample.ts';
import { sharesFrom } from '../pruning/smallest-share.ts';
import type { DeviceClass } from '../shared/rpc/protocol.ts';
import type { FinishedJob } from './job/build-report.ts';
import { withFittingBatches } from './job/fitting-batches.ts';
import { type JobContext, type PruneEnvironment, storedStage } from './job/job-context.ts';
import { modelBlobs } from './job/model-blobs.ts';
import { drawnLabels } from './job/model-labels.ts';
import type { PruneInputs } from './job/prune-inputs.ts';
import { isLatencyBudget } from './job/read-latency-budgets.ts';
import { meanTokens, passShapes } from './job/timing-settings.ts';
import { WritesBehind } from './job/writes-behind.ts';
import type { PruneReport } from './prune-report.ts';
import type { Budget, PruneRequest } from './prune-settings.ts';
import { CARD_FILE, modelCard } from './report/model-card.ts';
import { exportBudget, type MeasuredBudget } from './stages/export.ts';
import { macsSearch, macsSplits, stagesOf, type Target } from './stages/find-masks.ts';
import { importanceByLayer } from './stages/fisher.ts';
import { latencyStage } from './stages/latency.ts';
import {
  type LatencyParts,
  type LatencyTarget,
  latencyBudgetReport,
  latencyTarget,
  latencyVerdict,
  requireReachable,
  timeSearch,
  timeShares,
} from './stages/latency-budget.ts';
import { DropCandidates } from './stages/max-drop.ts';
import { planSamples, tokensPerBatch } from './stages/plan.ts';
import { type FoundTable, findTable } from './stages/profile.ts';
import { openPruner } from './stages/pruner.ts';
import { storedQuality } from './stages/quality.ts';
import type { JobHome, StageStore } from './store/stage-store.ts';

/** What a job's plan was made for; a job that goes on keeps to it. */
export interface StoredPlan {
  readonly tokensPerBatch: number;
  readonly deviceClass: DeviceClass;
}

/** What an earlier run of the job was planned for; null: there was none. */
export function storedPlan(home: StageStore): Promise<StoredPlan | null> {
  return home.readJson<StoredPlan>('plan');
}

/** Prunes a model to every budget and writes each into its staging folder, all but the report. Plans again with smaller
 * batches when a worker runs out of memory. @param stored of `storedPlan`; the workers are of its class.
 * @throws EspalierError "out_of_memory" where not even one sample fits, before anything is computed. */
export async function pruneModel(
  request: PruneRequest,
  inputs: PruneInputs,
  environment: PruneEnvironment,
  stored: StoredPlan | null,
): Promise<FinishedJob> {
  const { drawn, heldOut, evaluation, model } = inputs;
  const samples = [drawn.samples, heldOut?.samples ?? [], evaluation?.encoded.samples ?? []].flat();
  const first =
    stored?.tokensPerBatch ??
    tokensPerBatch(environment.workers.deviceClass, model.checkpoint.config, 'gradients', samples);
  return withFittingBatches(first, environment.emit, async (limit) => {
    const behind = new WritesBehind();
    try {
      const finished = await pruneAll(request, inputs, { ...environment, behind }, limit);
      await behind.settled();
      return finished;
    } catch (caught) {
      await behind.settled().catch(() => {});
      throw caught;
    }
  });
}

/** Puts a budget's report and its model card beside its model. */
export async function writeReport(home: JobHome, budget: string, report: PruneReport): Promise<void> {
  const folder = await home.staging(budget);
  await writeFile(path.join(folder, 'report.json'), `${JSON.stringify(report, null, 2)}\n`);
  await writeFile(path.join(folder, CARD_FILE), modelCard(report, budget, (await readdir(folder)).sort()));
}

// All of it, with batches of one size.
async function pruneAll(
  request: PruneRequest,
  inputs: PruneInputs,
  environment: PruneEnvironment & Pick<JobContext, 'behind'>,
  tokensPerBatch: number,
): Promise<FinishedJob> {
  const { checkpoint } = inputs.model;
  const { config } = checkpoint;
  const { deviceClass } = environment.workers;
  await environment.home.writeJson('plan', { tokensPerBatch, deviceClass } satisfies StoredPlan);
  const model = await modelBlobs(checkpoint, environment.weights);
  const sizes = { config, device: deviceClass, tokensPerBatch };
  const forTuning = (samples: readonly EncodedSample[]) =>
    planSamples(samples, { ...sizes, groupSize: inputs.groupSize, heldOut: true });
  const forScores = (samples: readonly EncodedSample[]) =>
    planSamples(samples, { ...sizes, groupSize: 1, heldOut: false, forScores: true });
  let calibration = forTuning(inputs.drawn.samples);
  if (request.labels === 'model')
    calibration = forTuning(await drawnLabels(environment, model, calibration, request.seed));
  const evaluation = inputs.evaluation && {
    ...inputs.evaluation,
    ...forScores(inputs.evaluation.encoded.samples),
  };
  const heldOut = inputs.heldOut && { ...inputs.heldOut, ...forScores(inputs.heldOut.samples) };
  const context: JobContext = { ...environment, checkpoint, model, calibration, evaluation };
  // Another plan, or other batches of the evaluation data, is another run: its stages lie apart.
  const prefix = `plan-${calibration.blob.digest.slice(0, 16)}-${tokensPerBatch}`;

  const dense = evaluation && (await storedQuality(context, model, null, { name: `${prefix}/quality-dense` }));
  const timed = request.budgets.filter(isLatencyBudget);
  const latencyParts = timed.length === 0 && !request.fastest ? null : await openLatency(context, request);
  if (latencyParts !== null) requireReachable(context, timed, latencyParts);
  const searches = {
    macs: macsSearch(config, inputs.costs, request),
    time: latencyParts && timeSearch(context, latencyParts),
    splits: macsSplits(config, inputs.costs),
  };
  const pruner = await openPruner(context, { searches, costs: inputs.costs, settings: request, prefix });
  const pruned: Pick<MeasuredBudget, 'budget' | 'result'>[] = [];
  // A model that is sought by what it loses is judged as written.
  const written = new Map<Budget, MeasuredBudget>();
  const latencyTargets = new Map<Budget, LatencyTarget>();
  try {
    const shares = request.fastest ? timeShares(context, latencyParts!) : sharesFrom(inputs.costs.smallest);
    const tried = { over: request.fastest ? 'time' : 'macs', order: pruner.orderOf(shares) } as const;
    const prune = (target: Target) => pruner.pruneUnmeasured(target);
    const candidates =
      heldOut &&
      new DropCandidates(context, { prune, heldOut, prefix, costs: inputs.costs, settings: request, ...tried });
    const masksAt = (share: number) => pruner.masksAtTime(share);
    for (const budget of request.budgets) {
      const stages = stagesOf(prefix, budget);
      if (budget.kind === 'max-drop') {
        written.set(budget, await candidates!.smallestWithin(budget));
        continue;
      }
      const byTime = isLatencyBudget(budget)
        ? await latencyTarget(context, masksAt, budget, stages, latencyParts!)
        : null;
      if (byTime !== null) latencyTargets.set(budget, byTime);
      const target = byTime?.target ?? { text: budget.text, cost: 'macs', fraction: budget.value, stages };
      pruned.push({ budget, result: await pruner.prune(target) });
    }
  } finally {
    await pruner.close();
  }
  for (const found of pruned) {
    const name = `${stagesOf(prefix, found.budget)}/quality-result`;
    written.set(found.budget, await exportBudget(context, found, request, name));
  }
  const budgets = request.budgets.map((budget) => written.get(budget)!);
  const speed = await latencyStage(
    context,
    budgets.map(({ model }) => model),
    request.timing,
  );
  const latencyBudgets = budgets.map(({ budget, result }, i) => {
    const target = latencyTargets.get(budget);
    if (target === undefined) return null;
    const report = latencyBudgetReport(context, budget, target, result.masks, latencyParts!, speed[i]);
    const verdict = latencyVerdict(report, budget.text);
    if (verdict !== null) context.emit({ kind: 'notice', text: verdict });
    return report;
  });
  return {
    ...{ calibration, tokensPerBatch },
    importance: importanceByLayer(pruner.importance, config),
    dense: dense?.value ?? null,
    denseSeconds: dense?.seconds ?? 0,
    fisherSeconds: pruner.fisherSeconds,
    speed,
    latencyBudgets,
    budgets,
  };
}

/** The latency table of the job, stored: what was measured decides masks, and whoever goes on keeps to it. */
async function openLatency(context: JobContext, settings: PruneRequest): Promise<LatencyParts> {
  const { home, model, calibration, checkpoint, emit, latencyTables } = context;
  const { timing } = settings;
  const name = 'latency-table';
  const { runtime, threads } = timing;
  const [shape] = passShapes(timing, checkpoint.config, meanTokens(calibration.plan));
  const request = { runtime, threads, ...shape };
  const { value: found } = await storedStage<FoundTable>(context, 'profile', {
    name,
    steps: 1,
    read: () => home.readJson(name),
    run: () =>
      findTable(context, model, request, latencyTables ?? { given: null, cache: null }, (done, steps) =>
        emit({ kind: 'stage-progress', stage: 'profile', done, steps }),
      ),
    write: (value, seconds) => home.writeJson(name, { value, seconds }),
  });
  return { found, request, settings };
}
