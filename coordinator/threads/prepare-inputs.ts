// The inputs of a job as a thread reads them, for a coordinator to take over: everything but the open weights, in arrays
// that are handed over without a copy. The rows of the data stay behind and end with the thread.
import type { CheckpointDigest } from '../../checkpoint/digest-checkpoint.ts';
import { buffersOf, type PackedSamples, packSamples } from '../../dataset/packed-samples.ts';
import type { Scoring } from '../../dataset/row-encoder.ts';
import { Releases } from '../../shared/lifecycle.ts';
import type { Costs } from '../job/budget.ts';
import type { KnownWeights } from '../job/open-inputs.ts';
import { openPruneInputs } from '../job/prune-inputs.ts';
import type { JobEvent } from '../job-events.ts';
import type { PruneRequest } from '../prune-settings.ts';

export interface PreparedInputs {
  readonly digest: CheckpointDigest;
  readonly data: { readonly digest: string; readonly rows: number };
  readonly drawn: { readonly samples: PackedSamples; readonly truncated: number };
  readonly heldOut: {
    readonly samples: PackedSamples;
    readonly examples: number;
    readonly metric: string;
    readonly scoring: Scoring;
  } | null;
  readonly evaluation: {
    readonly dataset: { readonly digest: string; readonly rows: number };
    readonly samples: PackedSamples;
    readonly truncated: number;
    readonly scoring: Scoring | null;
  } | null;
  readonly costs: Costs;
  readonly groupSize: number;
  readonly notices: readonly string[];
}

export interface PrepareRequest extends PruneRequest {
  readonly known?: KnownWeights;
}

/** See `openPruneInputs`. */
export async function prepareInputs({ known, ...request }: PrepareRequest): Promise<PreparedInputs> {
  const releases = new Releases();
  const notices: string[] = [];
  const note = (event: JobEvent) => {
    if (event.kind === 'notice') notices.push(event.text);
  };
  try {
    const opened = await openPruneInputs(request, releases, note, undefined, known);
    const { model, data, drawn, heldOut, evaluation, costs, groupSize } = opened;
    return {
      digest: model.digest,
      data,
      drawn: { samples: packSamples(drawn.drawn), truncated: drawn.truncated },
      heldOut: heldOut && {
        samples: packSamples(heldOut.drawn),
        ...{ examples: heldOut.examples, metric: heldOut.metric, scoring: heldOut.scoring },
      },
      evaluation: evaluation && {
        dataset: { digest: evaluation.dataset.digest, rows: evaluation.dataset.rows },
        samples: packSamples(evaluation.encoded.drawn),
        truncated: evaluation.encoded.truncated,
        scoring: evaluation.encoded.scoring,
      },
      costs,
      groupSize,
      notices,
    };
  } finally {
    await releases.run();
  }
}

/** What the message that carries them hands over. */
export function preparedBuffers({ drawn, heldOut, evaluation }: PreparedInputs): ArrayBuffer[] {
  return [drawn, heldOut, evaluation].flatMap((part) => (part === null ? [] : buffersOf(part.samples)));
}
