// The inputs of a cluster's job, read and checked in a thread: parsing and tokenising take seconds, and the rows of a large
// file more memory than all else of a job.
import { stat } from 'node:fs/promises';
import type { ModelConfig } from '../../checkpoint/model-config.ts';
import { openCheckpoint } from '../../checkpoint/open-checkpoint.ts';
import { scoreDrawn } from '../../dataset/load-dataset.ts';
import { unpackSamples } from '../../dataset/packed-samples.ts';
import type { Releases } from '../../shared/lifecycle.ts';
import type { JobEvent } from '../job-events.ts';
import type { JobResources } from '../job-resources.ts';
import type { PruneRequest } from '../prune-settings.ts';
import type { ComputeThreads } from '../threads/compute-threads.ts';
import { packOutputs } from '../threads/packed-outputs.ts';
import type { PreparedInputs } from '../threads/prepare-inputs.ts';
import type { Evaluation, HeldOut } from './job-context.ts';
import type { KnownWeights } from './open-inputs.ts';
import type { PruneInputs } from './prune-inputs.ts';

/** Of data, beyond which a thread ends with the rows that it has read; one that goes on reads the next inputs sooner. */
const LARGE_DATA_BYTES = 8e6;

/** As `openPruneInputs`. @param known of the model. */
export async function readInputs(
  request: PruneRequest,
  { threads, readers }: Pick<JobResources, 'threads' | 'readers'>,
  releases: Releases,
  onEvent: (event: JobEvent) => void,
  signal: AbortSignal,
  known?: KnownWeights,
): Promise<PruneInputs> {
  const input = { ...request, ...(known && { known }) };
  const prepared = await readers.run('prepare', input, { signal, once: await isLarge(request) });
  for (const text of prepared.notices) onEvent({ kind: 'notice', text });
  const checkpoint = await openCheckpoint(request.model);
  releases.add(() => checkpoint.close());
  const { digest, data, drawn, heldOut, evaluation, costs, groupSize } = prepared;
  return {
    model: { checkpoint, digest },
    data,
    drawn: { samples: unpackSamples(drawn.samples).map(({ sample }) => sample), truncated: drawn.truncated },
    heldOut: heldOut && preparedHeldOut(request, checkpoint.config, heldOut, threads, signal),
    evaluation: evaluation && preparedEvaluation(request, checkpoint.config, evaluation, threads, signal),
    costs,
    groupSize,
  };
}

async function isLarge({ data, evaluation }: PruneRequest): Promise<boolean> {
  let bytes = 0;
  // One that is not there is told of by who reads it.
  for (const file of [data, evaluation]) if (file !== null) bytes += (await stat(file).catch(() => null))?.size ?? 0;
  return bytes > LARGE_DATA_BYTES;
}

function preparedEvaluation(
  request: PruneRequest,
  config: ModelConfig,
  { dataset, samples: packed, truncated, scoring }: NonNullable<PreparedInputs['evaluation']>,
  threads: ComputeThreads,
  signal: AbortSignal,
): Evaluation {
  const path = request.evaluation ?? '';
  const drawn = unpackSamples(packed);
  return {
    dataset,
    metric: request.metric,
    encoded: {
      samples: drawn.map(({ sample }) => sample),
      truncated,
      score(outputs, metric) {
        if (scoring?.kind !== 'questions') return scoreDrawn(path, config, scoring, drawn, outputs, metric);
        const input = { path, config, scoring, samples: packed, outputs: packOutputs(outputs), metric };
        return threads.run('score', input, { signal });
      },
    },
  };
}

function preparedHeldOut(
  { seed }: PruneRequest,
  config: ModelConfig,
  { samples, examples, metric, scoring }: NonNullable<PreparedInputs['heldOut']>,
  threads: ComputeThreads,
  signal: AbortSignal,
): HeldOut {
  const rule = { config, scoring, metric, seed };
  return {
    samples: unpackSamples(samples).map(({ sample }) => sample),
    ...{ examples, metric },
    judge(outputs, confidence) {
      const [dense, pruned] = [packOutputs(outputs.dense), packOutputs(outputs.pruned)];
      return threads.run('drop', { rule, samples, dense, pruned, confidence }, { signal });
    },
  };
}
