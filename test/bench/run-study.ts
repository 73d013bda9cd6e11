// One job of a quality study: a development model with its task's data, measured on all of the evaluation data, not timed.
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { USUAL_TIMING } from '../../coordinator/job/timing-settings.ts';
import { runPruneJob } from '../../coordinator/prune-job.ts';
import type { PruneReport } from '../../coordinator/prune-report.ts';
import type { PruneSettings } from '../../coordinator/prune-settings.ts';
import { benchSettings } from './bench-settings.ts';

export interface StudyJob {
  /** Folders of models, and of data by task. */
  readonly models: string;
  readonly data: string;
  /** Its name ends in its task's: mini-sst2. */
  readonly model: string;
  /** Budgets between commas. */
  readonly budgets: string;
  readonly samples: number;
  readonly workers: string | undefined;
  readonly device: string;
  /** host:port of a worker of this machine that already runs; left out: each job starts its own. */
  readonly worker?: string;
  readonly changes: Partial<PruneSettings>;
}

const runningWorker = (address: string) => ({ local: 0, addresses: [address], device: 'auto' }) as const;

/** @returns a report a budget. */
export async function runStudy(job: StudyJob): Promise<PruneReport[]> {
  const { model, samples, workers, device } = job;
  const folder = await mkdtemp(path.join(tmpdir(), 'espalier-study-'));
  const data = path.join(job.data, model.split('-')[1]);
  const settings: PruneSettings = {
    ...benchSettings({
      model: path.join(job.models, model),
      data: path.join(data, 'train.jsonl'),
      out: path.join(folder, 'out'),
      ...{ samples, workers, device },
    }),
    evaluation: path.join(data, 'dev.jsonl'),
    budgets: job.budgets.split(',').map((text) => ({ text, value: Number(text) })),
    timing: { ...USUAL_TIMING, batchSizes: [] },
    ...(job.worker !== undefined && { workers: runningWorker(job.worker) }),
    ...job.changes,
  };
  try {
    return await runPruneJob(settings, { signal: new AbortController().signal, onEvent: () => {} });
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}
