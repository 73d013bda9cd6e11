// Several refits as one task of one worker: it goes on to the next sub-layer while what it has found of the ones before comes here,
// is hashed and is stored. A task that is sent again tells all once more: the same bits, of which what is here already is passed
// over.
import { EspalierError, toEspalierError } from '../../../shared/errors.ts';
import type { TensorSink } from '../../../shared/rpc/tensor-stream.ts';
import type { NamedTensor } from '../../../shared/tensor.ts';
import { type JobContext, TASK_DEADLINE_MS } from '../../job/job-context.ts';
import type { TaskResult, TaskSpec } from '../../workers/task-spec.ts';
import { SOLVE_AFFINITY } from '../fold-sums.ts';
import type { PatchToFit } from './patches-to-fit.ts';
import {
  meanOf,
  REFIT_SETTINGS,
  readSolved,
  refitRequest,
  type SolvedPart,
  type SubLayerInput,
} from './refit-request.ts';

const FIELDS = ['weight', 'bias', 'report'] as const;
/** Of a report, which has a few lines. */
const MOST_REPORT_BYTES = 2 ** 16;
/** A worker takes 255 after the first. */
const MOST_CHAINED = 256;

/** The first of the places that one task can refit. @param most of them. */
export function chainOf(
  places: readonly PatchToFit[],
  weights: SubLayerInput['weights'],
  most: number,
): readonly PatchToFit[] {
  const hasWeights = (place: PatchToFit) => meanOf(weights, place) > 0;
  const end = places.findIndex((place) => place.parts.length > 1 || hasWeights(place) !== hasWeights(places[0]));
  return places.slice(0, Math.min(end < 0 ? places.length : end, most, MOST_CHAINED));
}

/** Refits the places, one at least. @param take called for each in their order, one call at a time; returns or throws when no call goes
 * on any more. @throws EspalierError what `take` threw; "protocol", "not_finite". */
export async function refitChain(
  context: JobContext,
  input: SubLayerInput,
  places: readonly PatchToFit[],
  take: (place: PatchToFit, solved: SolvedPart) => Promise<void>,
): Promise<void> {
  const { workers, signal, checkpoint } = context;
  const systems = places.map((place) => ({ ...place, part: place.parts[0] }));
  const [first, ...next] = systems;
  const { name, common, blobs, spans, weightsOf } = refitRequest(context, input, first);
  const weights = weightsOf(spans);
  const [fit, heldOut = null] = spans.map((shards) => ({ shards }));
  const id = `refit/${name}+${next.length}`;
  const failed = new AbortController();
  let came = 0;
  let taking = Promise.resolve();
  const onPlace = (at: number, result: TaskResult) => {
    if (at === came) {
      came += 1;
      const solved = readSolved(id, result, systems[at], checkpoint.config);
      taking = taking.then(() => take(places[at], solved));
      taking.catch((caught) => failed.abort(toEspalierError(caught)));
    }
    // What is told to the worker here would count as its failure.
    return taking.catch(() => {});
  };
  const task: TaskSpec = {
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
    sink: () => placesSink(id, places.length, onPlace),
    mostTensors: FIELDS.length * places.length,
  };
  try {
    await workers.runTasks([task], { signal: AbortSignal.any([signal, failed.signal]) });
  } finally {
    await taking;
  }
}

/** Collects a try's tensors place by place. @param onPlace told of those of each, which the worker waits for. */
function placesSink(id: string, count: number, onPlace: (at: number, result: TaskResult) => Promise<void>): TensorSink {
  let at = 0;
  let own = new Map<string, NamedTensor>();
  return {
    open({ name, dtype, shape }) {
      const field = FIELDS.find((known) => name === (at === 0 ? known : `${at}.${known}`));
      const isOrdered = field === FIELDS[own.size] && at < count;
      const length = shape.reduce((product, size) => product * size, 1);
      if (!isOrdered || dtype !== (field === 'report' ? 'U8' : 'F32'))
        throw new EspalierError(
          'protocol',
          `${id}: got ${name} of ${dtype}, expected refit ${at}'s ${FIELDS[own.size]}`,
        );
      if (field === 'report' && (length > MOST_REPORT_BYTES || length === 0))
        throw new EspalierError(
          'protocol',
          `${id}: ${name}: got ${length} bytes, expected at most ${MOST_REPORT_BYTES}`,
        );
      const data = field === 'report' ? new Uint8Array(length) : new Float32Array(length);
      own.set(field, { name: field, dtype, shape, data });
      return async (elements, from) => {
        (data as Float32Array).set(elements as Float32Array, from);
        if (field !== 'report' || from + elements.length < length) return;
        const result = own;
        own = new Map();
        at += 1;
        await onPlace(at - 1, result);
      };
    },
    end() {
      if (at < count) throw new EspalierError('protocol', `${id}: got ${at} refits, expected ${count}`);
    },
  };
}
