// Task "solve" of several sub-layers in order, each for the student with the scales of those before it: what a coordinator would ask for
// one by one, without the way there and back between two of them.
import { keptVariables, type SubLayerPlace, withScales } from '../../pruning/sub-layers.ts';
import type { NamedTensor } from '../../shared/tensor.ts';
import { numbered } from './numbered.ts';
import { runSolve, type SolveInput } from './solve.ts';
import type { OnPart, TaskContext } from './task-context.ts';

/** @param onPart told of the tensors of each sub-layer but the last. @returns those of the last, named as worker.proto says. */
export async function runSolves(
  context: TaskContext,
  first: SolveInput,
  next: readonly SubLayerPlace[],
  onPart: OnPart,
): Promise<NamedTensor[]> {
  let input = first;
  for (const [at, place] of next.entries()) {
    const tensors = await runSolve(context, input);
    // Tensors that are told of may be gone from here.
    const student = withFound(input, tensors);
    onPart(numbered(tensors, at));
    input = { ...input, ...place, student, given: [] };
  }
  return numbered(await runSolve(context, input), next.length);
}

/** The student that a coordinator's next request would have. */
function withFound({ student, layer, subLayer }: SolveInput, tensors: readonly NamedTensor[]): SolveInput['student'] {
  const scales = tensors.find(({ name }) => name === 'scales')!.data as Float64Array;
  return withScales(student, { layer, subLayer, kept: keptVariables(student, { layer, subLayer }) }, scales);
}
