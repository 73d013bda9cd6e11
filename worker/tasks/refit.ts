// Task "refit": projections of one sub-layer, fitted anew to what the dense model makes (equations: pruning/refit.ts).
import { type RefitSettings, refitProjection } from '../../pruning/refit.ts';
import type { NamedTensor } from '../../shared/tensor.ts';
import { type DeviceRefit, makeRefits, refitAlgebra } from '../refit/refit-algebra.ts';
import type { RefitSubject } from '../refit/refit-subject.ts';
import { type DeviceSums, releaseSums } from '../tuning/device-sums.ts';
import { type RefitTaskInput, refitSubject } from './refit-equations.ts';
import type { SumSource } from './solve.ts';
import type { TaskContext } from './task-context.ts';

export interface RefitInput extends RefitTaskInput {
  readonly fit: SumSource;
  /** null: nothing is held out. */
  readonly heldOut: SumSource | null;
  readonly settings: RefitSettings;
}

/** @returns the tensors that worker.proto names for RefitTask. A projection that stays as it is has the bits that load as what the
 * student has. */
export async function runRefit(context: TaskContext, input: RefitInput): Promise<NamedTensor[]> {
  const { engine, ops } = context;
  const { fit, heldOut, settings } = input;
  const sources = heldOut === null ? [fit] : [fit, heldOut];
  const summed = sources.flatMap((source) => (source.kind === 'shards' ? [source.shards] : []));
  const subject = await refitSubject(context, input, summed);
  const { tensors, report } = engine.scope(() => {
    const current = subject.current();
    const [fitted, judge = null] = refitsOf(context, subject, sources);
    const algebra = refitAlgebra(ops, current, () => context.checkCancelled());
    const found = refitProjection({ fit: fitted, heldOut: judge, settings, algebra });
    return { tensors: subject.stored(found.projection ?? current.whole), report: found.report };
  });
  const text = new TextEncoder().encode(JSON.stringify(report));
  return [...tensors, { name: 'report', dtype: 'U8', shape: [text.length], data: text }];
}

function refitsOf({ engine, ops }: TaskContext, subject: RefitSubject, sources: readonly SumSource[]): DeviceRefit[] {
  const sums: DeviceSums[] = [];
  try {
    for (const source of sources)
      sums.push(source.kind === 'shards' ? subject.sums(source.shards) : subject.fromTensors(source.tensors));
    return makeRefits(ops, sums, (own) => subject.terms(own));
  } finally {
    for (const own of sums) releaseSums(engine, own);
  }
}
