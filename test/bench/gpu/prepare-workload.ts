// A workload as a worker sees it: the model's and the plan's blobs in its store, and the masks of teacher and student.

import type { ModelConfig } from '../../../checkpoint/model-config.ts';
import type { PlannedSamples } from '../../../coordinator/job/job-context.ts';
import { localWeights, modelBlobs } from '../../../coordinator/job/model-blobs.ts';
import { openPruneInputs } from '../../../coordinator/job/prune-inputs.ts';
import { planSamples, tokensPerBatch } from '../../../coordinator/stages/plan.ts';
import { planTokens } from '../../../dataset/plan.ts';
import type { Masks } from '../../../pruning/masks.ts';
import type { BlobStore } from '../../../shared/blobs/blob-store.ts';
import type { Releases } from '../../../shared/lifecycle.ts';
import type { DeviceClass } from '../../../shared/rpc/protocol.ts';
import type { TaskExecutor } from '../../../worker/task-executor.ts';
import { benchSettings } from '../bench-settings.ts';
import { evenMasks } from './even-masks.ts';
import { type GradualMasks, GradualTasks } from './gradual-tasks.ts';
import { StageTasks } from './stage-tasks.ts';
import type { WorkloadFiles } from './workloads.ts';

export interface PreparedWorkload {
  readonly config: ModelConfig;
  readonly planned: PlannedSamples;
  /** Padded tokens of a micro-batch at the most. */
  readonly tokensPerBatch: number;
  readonly masks: { readonly teacher: Masks; readonly student: Masks };
  readonly tasks: StageTasks;
  readonly gradual: { readonly masks: GradualMasks; readonly tasks: GradualTasks };
}

/** @param options `folder` for what a job writes, `deviceClass` that the plan is cut for. */
export async function prepareWorkload(
  files: WorkloadFiles,
  options: {
    readonly folder: string;
    readonly device: 'auto' | 'cpu' | 'gpu';
    readonly deviceClass: DeviceClass;
    readonly blobs: BlobStore;
    readonly executor: TaskExecutor;
  },
  releases: Releases,
): Promise<PreparedWorkload> {
  const { definition, model, data } = files;
  const { samples, budget } = definition;
  const { folder, device, deviceClass, blobs, executor } = options;
  const settings = benchSettings({ model, data, out: folder, samples, workers: '1', device, budget });
  const inputs = await openPruneInputs(settings, releases, () => {});
  const { checkpoint } = inputs.model;
  const { config } = checkpoint;
  const limit = tokensPerBatch(deviceClass, config, 'gradients', inputs.drawn.samples);
  const planned = planSamples(inputs.drawn.samples, {
    ...{ config, device: deviceClass, groupSize: inputs.groupSize, heldOut: true, tokensPerBatch: limit },
  });
  await blobs.put(planned.blob.digest, planned.blob.sizeBytes, planned.blob.open());
  const meanTokens = planTokens(planned.plan) / planned.plan.samples.length;
  const sizes = { ...config, neurons: config.intermediateSize };
  // The published teacher keeps the square root of the student's share.
  const masks = {
    student: evenMasks(sizes, budget, meanTokens),
    teacher: evenMasks(sizes, Math.sqrt(budget), meanTokens),
  };
  const blobsOfModel = await modelBlobs(checkpoint, localWeights(blobs));
  const common = { executor, blobs, model: blobsOfModel, planned };
  const tasks = new StageTasks({ ...common, masks });
  const step = { from: masks.teacher, to: evenMasks(sizes, budget, meanTokens, masks.teacher) };
  const gradual = {
    masks: step,
    tasks: new GradualTasks({ ...common, folder, checkpoint, share: budget, masks: step }),
  };
  return { config, planned, tokensPerBatch: limit, masks, tasks, gradual };
}
