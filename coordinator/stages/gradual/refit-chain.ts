// Several refits as one task of one worker (task-chain.ts).
import { type JobContext, TASK_DEADLINE_MS } from '../../job/job-context.ts';
import { SOLVE_AFFINITY } from '../fold-sums.ts';
import { runChain } from '../task-chain.ts';
import type { PatchToFit } from './patches-to-fit.ts';
import {
  meanOf,
  REFIT_SETTINGS,
  readSolved,
  refitRequest,
  type SolvedPart,
  type SubLayerInput,
} from './refit-request.ts';

/** The first of the places that one task can refit. @param most of them. */
export function chainOf(
  places: readonly PatchToFit[],
  weights: SubLayerInput['weights'],
  most: number,
): readonly PatchToFit[] {
  const hasWeights = (place: PatchToFit) => meanOf(weights, place) > 0;
  const end = places.findIndex((place) => place.parts.length > 1 || hasWeights(place) !== hasWeights(places[0]));
  return places.slice(0, Math.min(end < 0 ? places.length : end, most));
}

/** Refits the places, one at least. @param take see `runChain`. @throws EspalierError what `take` threw; "protocol", "not_finite". */
export async function refitChain(
  context: JobContext,
  input: SubLayerInput,
  places: readonly PatchToFit[],
  take: (place: PatchToFit, solved: SolvedPart) => Promise<void>,
): Promise<void> {
  const systems = places.map((place) => ({ ...place, part: place.parts[0] }));
  const [first, ...next] = systems;
  const { name, common, blobs, spans, weightsOf } = refitRequest(context, input, first);
  const weights = weightsOf(spans);
  const [fit, heldOut = null] = spans.map((shards) => ({ shards }));
  const id = `refit/${name}+${next.length}`;
  await runChain<SolvedPart>(context, {
    task: {
      id,
      blobs: [...blobs, ...weights.blobs],
      request: {
        refit: {
          ...{ ...common, fit, heldOut, weights: weights.message, settingsJson: REFIT_SETTINGS },
          next: next.map(({ layer, subLayer, part }) => ({
            ...{ layer, subLayer, mean: meanOf(input.weights, { layer, subLayer }) },
            ...(part !== 'output' && { part }),
          })),
        },
      },
      affinity: SOLVE_AFFINITY,
      deadlineMs: TASK_DEADLINE_MS,
    },
    count: places.length,
    fields: [
      ['weight', 'F32'],
      ['bias', 'F32'],
    ],
    read: (at, result) => readSolved(id, result, systems[at], context.checkpoint.config),
    take: (at, solved) => take(places[at], solved),
  });
}
