// Task "refit" of several projections in order, each on the student that those before it have made: what a coordinator would ask for
// one by one, without the way there and back between two of them.
import { type Patch, type PatchPlace, patchName, patchToTensors } from '../../pruning/patch.ts';
import { keptVariables } from '../../pruning/sub-layers.ts';
import { blobOfParts } from '../../shared/blobs/blob-source.ts';
import { safetensorsParts } from '../../shared/safetensors.ts';
import type { NamedTensor } from '../../shared/tensor.ts';
import type { Student } from '../model/student.ts';
import { type RefitInput, solveRefit } from './refit.ts';
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
  let input = first;
  for (const [at, { mean, ...place }] of next.entries()) {
    const { tensors, isChanged } = await solveRefit(context, input);
    const student = isChanged ? withFitted(input, tensors) : input.student;
    onPart(numbered(tensors, at));
    input = { ...input, ...place, student, weights: input.weights && { ...input.weights, mean } };
  }
  return numbered((await solveRefit(context, input)).tensors, next.length);
}

function numbered(tensors: readonly NamedTensor[], at: number): NamedTensor[] {
  return tensors.map((tensor) => (at === 0 ? tensor : { ...tensor, name: `${at}.${tensor.name}` }));
}

/** The student with the patch that a coordinator makes of these tensors, by the same name: it is on the device when the next task
 * names it. */
function withFitted({ student, layer, subLayer, part }: RefitInput, tensors: readonly NamedTensor[]): Student {
  const place: PatchPlace = { layer, subLayer, part: part === 'output' ? part : 'input' };
  const values = (field: string) => tensors.find(({ name }) => name === field)!.data as Float32Array;
  const kept = keptVariables(student.masks, place);
  const patch: Patch = { ...place, kept, weight: values('weight'), bias: values('bias') };
  const { digest } = blobOfParts(safetensorsParts(patchToTensors(patch)));
  const others = student.patches.filter((other) => patchName(other) !== patchName(place));
  return { ...student, patches: [...others, { ...place, digest, load: async () => patch }] };
}
