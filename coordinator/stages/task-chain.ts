// Several sub-layers as one task of one worker: it goes on to the next while what it has found of the ones before comes here and is
// stored. A task that is sent again tells all once more: the same bits, of which what is here already is passed over.
import { EspalierError, toEspalierError } from '../../shared/errors.ts';
import { MOST_NEXT } from '../../shared/rpc/most-next.ts';
import type { TensorSink } from '../../shared/rpc/tensor-stream.ts';
import type { NamedTensor } from '../../shared/tensor.ts';
import type { JobContext } from '../job/job-context.ts';
import type { TaskResult, TaskSpec } from '../workers/task-spec.ts';
import type { Workers } from '../workers/workers.ts';
import type { TaskPace } from './task-pace.ts';

/** Of a report, which has a few lines. */
const MOST_REPORT_BYTES = 2 ** 16;
const ARRAYS = { F32: Float32Array, F64: Float64Array };

/** Tensors of one sub-layer as worker.proto names them, in the order in which they come; its "report" comes last. */
export type ChainFields = readonly (readonly [name: string, dtype: keyof typeof ARRAYS])[];

/** How many of the next sub-layers one task has: as many as its pace tells where one worker holds the whole tree, being alone or
 * faster than several that share their sums. */
export function mostChained(
  { count, tuningSpread = count }: Pick<Workers, 'count' | 'tuningSpread'>,
  pace: TaskPace,
): number {
  return tuningSpread === 1 ? Math.min(pace.most, 1 + MOST_NEXT) : 1;
}

export interface TaskChain<Found> {
  readonly task: Omit<TaskSpec, 'sink' | 'mostTensors'>;
  readonly count: number;
  readonly fields: ChainFields;
  /** What a worker has told of one. @throws EspalierError "protocol", "not_finite". */
  read(at: number, result: TaskResult): Found;
  /** Called for each in their order, one call at a time; the worker waits for it with what it tells next. */
  take(at: number, found: Found): Promise<void> | void;
}

/** Runs the task; returns or throws when no call of `take` goes on any more. @throws EspalierError of `read` and `take`; "protocol". */
export async function runChain<Found>(
  { workers, signal }: Pick<JobContext, 'workers' | 'signal'>,
  { task, count, fields, read, take }: TaskChain<Found>,
): Promise<void> {
  const failed = new AbortController();
  let came = 0;
  let taking = Promise.resolve();
  const onWhole = (at: number, result: TaskResult) => {
    if (at === came) {
      came += 1;
      const found = read(at, result);
      taking = taking.then(() => take(at, found));
      taking.catch((caught) => failed.abort(toEspalierError(caught)));
    }
    // What is told to the worker here would count as its failure.
    return taking.catch(() => {});
  };
  const chained: TaskSpec = {
    ...task,
    sink: () => chainSink(task.id, { count, fields, onWhole }),
    mostTensors: (fields.length + 1) * count,
  };
  try {
    await workers.runTasks([chained], { signal: AbortSignal.any([signal, failed.signal]) });
  } finally {
    await taking;
  }
}

interface ChainSink extends Pick<TaskChain<unknown>, 'count' | 'fields'> {
  /** Told of the tensors of each, which the worker waits for. */
  onWhole(at: number, result: TaskResult): Promise<void>;
}

/** Collects a try's tensors one sub-layer after the other. */
function chainSink(id: string, { count, fields, onWhole }: ChainSink): TensorSink {
  const expected = [...fields, ['report', 'U8'] as const];
  let at = 0;
  let own = new Map<string, NamedTensor>();
  return {
    open({ name, dtype, shape }) {
      const [field, type] = expected[own.size];
      const length = shape.reduce((product, size) => product * size, 1);
      if (at === count || name !== (at === 0 ? field : `${at}.${field}`) || dtype !== type)
        throw new EspalierError('protocol', `${id}: got ${name} of ${dtype}, expected ${field} of sub-layer ${at}`);
      const isReport = type === 'U8';
      if (isReport && (length > MOST_REPORT_BYTES || length === 0))
        throw new EspalierError(
          'protocol',
          `${id}: ${name}: got ${length} bytes, expected at most ${MOST_REPORT_BYTES}`,
        );
      const data = isReport ? new Uint8Array(length) : new ARRAYS[type](length);
      own.set(field, { name: field, dtype, shape, data });
      return async (elements, from) => {
        (data as Float32Array).set(elements as Float32Array, from);
        if (!isReport || from + elements.length < length) return;
        const result = own;
        own = new Map();
        at += 1;
        await onWhole(at - 1, result);
      };
    },
    end() {
      if (at < count) throw new EspalierError('protocol', `${id}: got ${at} sub-layers, expected ${count}`);
    },
  };
}
