// Task "refit" of several projections in order, each on the student that those before it have made: what a coordinator would ask for
// one by one, without the way there and back between two of them. What was fitted stays on the device, where the next task finds it.
import { type PatchPlace, patchName, patchToTensors } from '../../pruning/patch.ts';
import { keptVariables } from '../../pruning/sub-layers.ts';
import { blobOfParts } from '../../shared/blobs/blob-source.ts';
import { safetensorsParts } from '../../shared/safetensors.ts';
import type { NamedTensor } from '../../shared/tensor.ts';
import type { FittedPatch, Student } from '../model/student.ts';
import { withoutScales } from '../tuning/scaled-student.ts';
import { type RefitInput, releaseStored, type SolvedRefit, solveRefit } from './refit.ts';
import type { OnPart, TaskContext } from './task-context.ts';

/** Projections that are refitted after others, with the mean of their positions' gradients; 0: all count 1. */
export interface NextRefit extends Pick<RefitInput, 'layer' | 'subLayer' | 'part'> {
  readonly mean: number;
}

/** @param onPart told of the tensors of each refit but the last. @returns those of the last, named as worker.proto says. */
export async function runRefits(
  context: TaskContext,
  first: RefitInput,
  next: readonly NextRefit[],
  onPart: OnPart,
): Promise<NamedTensor[]> {
  const { engine, models } = context;
  const solved: SolvedRefit[] = [];
  try {
    let input = first;
    for (let at = 0; ; at++) {
      const own = await solveRefit(context, input);
      solved.push(own);
      const student = withFitted(input, own);
      const tensors = numbered(own.tensors, at);
      if (at === next.length) {
        await models.student(input.model, withoutScales(student.masks), student.patches);
        return tensors;
      }
      onPart(tensors);
      const { mean, ...place } = next[at];
      input = { ...input, ...place, student, weights: input.weights && { ...input.weights, mean } };
    }
  } finally {
    for (const own of solved) releaseStored(engine, own);
  }
}

function numbered(tensors: readonly NamedTensor[], at: number): NamedTensor[] {
  return tensors.map((tensor) => (at === 0 ? tensor : { ...tensor, name: `${at}.${tensor.name}` }));
}

/** The student with the patch that a coordinator makes of what was solved, by the same name. */
function withFitted(
  { student, layer, subLayer, part }: RefitInput,
  { tensors, stored, isChanged }: SolvedRefit,
): Student {
  // A system of queries alone, or of keys and values, is no whole patch.
  if (!isChanged || (part !== 'output' && part !== 'input')) return student;
  const place: PatchPlace = { layer, subLayer, part };
  const kept = keptVariables(student.masks, place);
  const values = (field: string) => tensors.find(({ name }) => name === field)!.data as Float32Array;
  const blob = patchToTensors({ part, kept, weight: values('weight'), bias: values('bias') });
  const { digest } = blobOfParts(safetensorsParts(blob));
  const patch: FittedPatch = { ...place, digest, fitted: { ...place, kept, ...stored } };
  const others = student.patches.filter((other) => patchName(other) !== patchName(place));
  return { ...student, patches: [...others, patch] };
}
