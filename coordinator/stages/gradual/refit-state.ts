// What a refit has found so far, as it is stored: in parts, each with the sub-layers that were found since the one before, so
// that nothing is written twice. A part is named by its first sub-layer, and says how many it has.
import { type Patch, patchFromTensors } from '../../../pruning/patch.ts';
import type { NamedTensor } from '../../../shared/tensor.ts';
import type { JobContext } from '../../job/job-context.ts';
import { blobTensors, scratchBlob } from '../../job/scratch-blob.ts';
import type { Student } from '../../job/student.ts';
import type { RefitReport } from '../../prune-report.ts';
import { type RefittedSubLayer, refitSteps } from './refit.ts';

const PARTS = ['kept', 'weight', 'bias'] as const;

export interface StoredRefit {
  readonly refitted: readonly RefittedSubLayer[];
  /** Until the last of them was found. */
  readonly seconds: number;
}

/** Stores what `stored` does not hold yet. */
export async function storeRefit(
  { home }: Pick<JobContext, 'home'>,
  name: string,
  found: StoredRefit,
  stored: number,
): Promise<void> {
  const added = found.refitted.slice(stored);
  const tensors: NamedTensor[] = [];
  for (const { patch } of added) {
    const own = await blobTensors(patch.source, patchName(patch));
    for (const part of PARTS) tensors.push({ ...own.get(part)!, name: `${patchName(patch)}.${part}` });
  }
  const reports = added.map(({ report }) => report);
  await home.writeTensors(partName(name, stored), tensors, { seconds: found.seconds, reports });
}

/** What is stored of a refit, in order, up to the first sub-layer that is missing or was fitted for another student. */
export async function readRefit(
  { home, checkpoint }: Pick<JobContext, 'home' | 'checkpoint'>,
  name: string,
  { masks }: Student,
): Promise<StoredRefit> {
  const { hiddenSize, headSize, heads, intermediateSize } = checkpoint.config;
  const steps = refitSteps(masks);
  const refitted: RefittedSubLayer[] = [];
  let seconds = 0;
  while (refitted.length < steps.length) {
    const part = await home.readTensors(partName(name, refitted.length));
    const reports = (part?.meta.reports ?? []) as readonly RefitReport[];
    if (part === null || reports.length === 0) break;
    for (const report of reports) {
      const step = steps[refitted.length];
      const own = new Map(PARTS.map((field) => [field as string, part.tensors.get(`${patchName(report)}.${field}`)!]));
      const ffn = step.subLayer === 'ffn';
      const sizes = { variables: ffn ? intermediateSize : heads, size: ffn ? 1 : headSize, hiddenSize };
      const patch = patchFromTensors(own, step, sizes);
      if (patchName(report) !== patchName(step) || !isFor(patch, step.kept)) return { refitted, seconds };
      const tensors = PARTS.map((field) => ({ ...own.get(field)!, name: field }));
      const source = await scratchBlob(home, tensors);
      refitted.push({ patch: { layer: step.layer, subLayer: step.subLayer, source }, report });
    }
    seconds = Number(part.meta.seconds);
  }
  return { refitted, seconds };
}

function partName(name: string, first: number): string {
  return `${name}-${first}`;
}

function patchName({ layer, subLayer }: Pick<Patch, 'layer' | 'subLayer'>): string {
  return `${layer}.${subLayer}`;
}

function isFor({ kept }: Patch, expected: Int32Array): boolean {
  return kept.length === expected.length && kept.every((index, i) => index === expected[i]);
}
