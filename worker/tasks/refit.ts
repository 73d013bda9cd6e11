// Task "refit": projections of one sub-layer, fitted anew to what the dense model makes (equations: pruning/refit.ts).
import { type RefitSettings, refitProjection } from '../../pruning/refit.ts';
import type { NamedTensor } from '../../shared/tensor.ts';
import type { Engine } from '../engine/engine.ts';
import { makeRefits, refitAlgebra } from '../refit/refit-algebra.ts';
import type { StoredProjection } from '../refit/refit-subject.ts';
import { uploadRoots, type WeightRoots } from '../refit/token-weights.ts';
import { type DeviceSums, sumTensors } from '../tuning/device-sums.ts';
import { type KeptSubject, type RefitTaskInput, refitSubject, weightRoots } from './refit-equations.ts';
import { type SumSource, summedHere, sumsOfSource } from './sum-source.ts';
import type { ShardRange, TaskContext } from './task-context.ts';

export interface RefitInput extends RefitTaskInput {
  readonly fit: SumSource;
  /** null: nothing is held out. */
  readonly heldOut: SumSource | null;
  readonly settings: RefitSettings;
}

/** @returns the tensors that worker.proto names for RefitTask. A projection that stays as it is has the bits that load as what the
 * student has. */
export async function runRefit(context: TaskContext, input: RefitInput): Promise<NamedTensor[]> {
  const solved = await solveRefit(context, input);
  releaseStored(context.engine, solved);
  return solved.tensors();
}

export interface SolvedRefit {
  /** Those of the result: waits for what is still on its way to the host. */
  readonly tensors: () => NamedTensor[];
  /** Their weight and bias on the device: the caller releases them (`releaseStored`). */
  readonly stored: StoredProjection;
  /** False: what the student has stays. */
  readonly isChanged: boolean;
}

export function releaseStored(engine: Engine, { stored }: SolvedRefit): void {
  for (const tensor of [stored.weight, stored.bias]) engine.dispose(tensor);
}

/** Weights of its positions, to be read when they are first asked for. */
export function rootsOfRefit(input: RefitInput): () => WeightRoots | null {
  return weightRoots(input, sourcesOf(input).flatMap(summedHere));
}

function sourcesOf({ fit, heldOut }: RefitInput): SumSource[] {
  return heldOut === null ? [fit] : [fit, heldOut];
}

/** `runRefit`, with what it leaves on the device. @param roots of `rootsOfRefit`. */
export async function solveRefit(
  context: TaskContext,
  input: RefitInput,
  roots = rootsOfRefit(input),
): Promise<SolvedRefit> {
  const { engine, forward } = context;
  const { settings } = input;
  const sources = sourcesOf(input);
  const kept = await refitSubject(context, input, sources.flatMap(summedHere), roots);
  const { subject } = kept;
  return engine.scope(() => {
    const current = subject.current();
    const systems = engine.scope(() => {
      const [fitted, judge = null] = sumsOf(context, kept, sources);
      return makeRefits(forward, { fit: fitted, heldOut: judge, current }, (own) => subject.terms(own));
    });
    const algebra = refitAlgebra(forward, current, () => context.checkCancelled());
    const { projection, report } = refitProjection({ ...systems, settings, algebra });
    const stored = subject.stored(projection ?? current);
    const finish = [stored.weight, stored.bias].map((own) => engine.beginDownload(own));
    let tensors: NamedTensor[] | null = null;
    const tensorsOf = () => {
      if (tensors !== null) return tensors;
      const [weight, bias] = finish.map((own) => own());
      const text = new TextEncoder().encode(JSON.stringify(report));
      tensors = [
        { name: 'weight', dtype: 'F32', shape: stored.weight.shape, data: weight },
        { name: 'bias', dtype: 'F32', shape: [bias.length], data: bias },
        { name: 'report', dtype: 'U8', shape: [text.length], data: text },
      ];
      return tensors;
    };
    return { tensors: tensorsOf, stored, isChanged: projection !== null };
  });
}

/** Sums of the sources: tensors of the scope that is open. */
function sumsOf(
  { engine, forward, ops, states }: TaskContext,
  { subject, nameOf, roots }: KeptSubject,
  sources: readonly SumSource[],
): DeviceSums[] {
  const onDevice = roots && uploadRoots(ops, roots);
  const make = (shards: ShardRange) => states.sums.take(...nameOf(shards)) ?? subject.sums(shards, onDevice);
  return sources.map((source) => {
    const sums = sumsOfSource(forward, source, make, (tensors) => subject.fromTensors(tensors));
    engine.adopt(sumTensors(sums));
    return sums;
  });
}
