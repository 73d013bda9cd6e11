// A workload as a whole job: coordinator, gRPC and local workers, as `espalier prune` runs it.
import { rm } from 'node:fs/promises';
import path from 'node:path';
import { runPruneJob } from '../../../coordinator/prune-job.ts';
import type { PruneReport } from '../../../coordinator/prune-report.ts';
import { benchSettings } from '../bench-settings.ts';
import { type StageFigures, stageFigures } from './figures.ts';
import type { WorkloadFiles } from './workloads.ts';

const JOB_STAGES = ['load', 'fisher', 'search', 'rearrange', 'tune'] as const;

/** @returns a row a stage, and "job pruning": all of them but load; and the SHA-256 of the job's plan. */
export async function runJobs(
  { definition, model, data }: WorkloadFiles,
  options: { folder: string; repeats: number; device: string },
): Promise<{ stages: StageFigures[]; plan: string }> {
  const { folder, repeats, device } = options;
  const { samples, budget } = definition;
  const reports: PruneReport[] = [];
  for (let repeat = -1; repeat < repeats; repeat++) {
    const out = path.join(folder, `${definition.name}-out`);
    const settings = benchSettings({ model, data, out, samples, workers: undefined, device, budget });
    const [report] = await runPruneJob(settings, { signal: new AbortController().signal, onEvent: () => {} });
    await rm(out, { recursive: true });
    reports.push(report);
  }
  const [first] = reports;
  const tokens = Math.round(first.macsLength * first.samples);
  const work = { tokens: null, teraflop: null };
  const stages = JOB_STAGES.map((stage) =>
    stageFigures(
      `job ${stage}`,
      reports.map(({ seconds }) => seconds[stage]),
      work,
    ),
  );
  const pruning = reports.map(({ seconds }) => seconds.fisher + seconds.search + seconds.rearrange + seconds.tune);
  stages.push(stageFigures('job pruning', pruning, { ...work, tokens }));
  return { stages, plan: first.plan };
}
