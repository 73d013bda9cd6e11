// Task "refit" of several projections in order, each on the student that those before it have made: what a coordinator would ask for
// one by one, without the way there and back between two of them. What was fitted stays on the device, where the next task finds it.
import { type PatchPlace, patchName, patchToTensors } from '../../pruning/patch.ts';
import { keptVariables } from '../../pruning/sub-layers.ts';
import { blobOfParts } from '../../shared/blobs/blob-source.ts';
import { safetensorsParts } from '../../shared/safetensors.ts';
import type { NamedTensor } from '../../shared/tensor.ts';
import type { FittedPatch, Student } from '../model/student.ts';
import { withoutScales } from '../tuning/scaled-student.ts';
import { numbered } from './numbered.ts';
import { type RefitInput, releaseStored, rootsOfRefit, type SolvedRefit, solveRefit } from './refit.ts';
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
  // What was solved comes to the host, is hashed and told while the device goes on with it.
  const untold: (() => void)[] = [];
  const tell = () => {
    for (const own of untold.splice(0)) own();
  };
  try {
    let input = first;
    let roots = rootsOfRefit(input);
    for (let at = 0; at < next.length; at++) {
      const { mean, ...place } = next[at];
      const following = { ...input, ...place, weights: input.weights && { ...input.weights, mean } };
      const followingRoots = rootsOfRefit(following);
      engine.whileWaiting(() => readAhead(followingRoots));
      const own = await solveRefit(context, input, roots);
      solved.push(own);
      const patch = fittedPatch(input, own);
      const name = models.fitted.next();
      untold.push(() => {
        if (patch !== null) models.fitted.known(name, digestOf(patch, own));
        onPart(numbered(own.tensors(), at));
      });
      engine.whileWaiting(tell);
      input = { ...following, student: patch === null ? input.student : withPatch(input.student, { ...patch, name }) };
      roots = followingRoots;
    }
    const last = await solveRefit(context, input, roots);
    solved.push(last);
    const patch = fittedPatch(input, last);
    if (patch !== null) {
      // The next task asks for it.
      const name = models.fitted.next();
      const { masks, patches } = withPatch(input.student, { ...patch, name });
      await models.student(input.model, withoutScales(masks), patches);
      models.fitted.known(name, digestOf(patch, last));
    }
    return numbered(last.tensors(), next.length);
  } finally {
    tell();
    for (const own of solved) releaseStored(engine, own);
  }
}

function readAhead(roots: () => unknown): void {
  try {
    roots();
  } catch {
    // Thrown again where they are needed.
  }
}

/** What was solved, as a patch; null where the student stays as it is, and where it is a part of one. */
function fittedPatch(
  { student, layer, subLayer, part }: RefitInput,
  { stored, isChanged }: SolvedRefit,
): Omit<FittedPatch, 'name'> | null {
  // Queries alone, or keys and values.
  if (!isChanged || (part !== 'output' && part !== 'input')) return null;
  const place: PatchPlace = { layer, subLayer, part };
  return { ...place, fitted: { ...place, kept: keptVariables(student.masks, place), ...stored } };
}

/** Of the patch that a coordinator makes of what was solved. */
function digestOf({ part, fitted: { kept } }: Omit<FittedPatch, 'name'>, solved: SolvedRefit): string {
  const tensors = solved.tensors();
  const [weight, bias] = ['weight', 'bias'].map(
    (field) => tensors.find(({ name }) => name === field)!.data as Float32Array,
  );
  return blobOfParts(safetensorsParts(patchToTensors({ part, kept, weight, bias }))).digest;
}

function withPatch(student: Student, patch: FittedPatch): Student {
  const others = student.patches.filter((other) => patchName(other) !== patchName(patch));
  return { ...student, patches: [...others, patch] };
}
