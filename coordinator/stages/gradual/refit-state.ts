// What a refit has found so far, as it is stored: in parts, each with the sub-layers that were found since the one before, so
// that nothing is written twice. A part is named by its first sub-layer; its reports say how many it has. They lie among its
// tensors: the record of a job in the cluster has room for the names of a large model's parts, not for what is told of each.
import { type Patch, patchFromTensors, patchSizes, patchToTensors } from '../../../pruning/patch.ts';
import { keptSubLayers } from '../../../pruning/sub-layers.ts';
import type { NamedTensor } from '../../../shared/tensor.ts';
import type { JobContext } from '../../job/job-context.ts';
import { readPatches } from '../../job/read-patches.ts';
import { scratchBlob } from '../../job/scratch-blob.ts';
import type { Student } from '../../job/student.ts';
import type { RefitReport } from '../../prune-report.ts';
import type { RefittedSubLayer } from './refit.ts';

const PARTS = ['kept', 'weight', 'bias'] as const;
/** JSON, no patch's name. */
const REPORTS = 'reports';
/** Patches of one part, which are in memory while it is written; one that is larger is a part by itself. */
const MOST_PART_BYTES = 2 ** 25;

export interface StoredRefit {
  readonly refitted: readonly RefittedSubLayer[];
  /** Until the last of them was found. */
  readonly seconds: number;
}

/** Stores what is not there yet. @param stored how many sub-layers are. @param mostPartBytes of a part's patches. */
export async function storeRefit(
  { home, checkpoint }: Pick<JobContext, 'home' | 'checkpoint'>,
  name: string,
  found: StoredRefit,
  stored: number,
  mostPartBytes: number = MOST_PART_BYTES,
): Promise<void> {
  for (const [first, added] of partsOf(found.refitted, stored, mostPartBytes))
    await storePart({ home, checkpoint }, partName(name, first), added, found.seconds);
}

/** What is not stored yet, cut into parts, each with the number of its first sub-layer. */
function partsOf(
  refitted: readonly RefittedSubLayer[],
  stored: number,
  mostBytes: number,
): [number, RefittedSubLayer[]][] {
  const parts: [number, RefittedSubLayer[]][] = [];
  let bytes = Number.POSITIVE_INFINITY;
  for (const [at, found] of refitted.entries()) {
    if (at < stored) continue;
    const { sizeBytes } = found.patch.source;
    if (bytes + sizeBytes > mostBytes) {
      parts.push([at, []]);
      bytes = 0;
    }
    parts.at(-1)![1].push(found);
    bytes += sizeBytes;
  }
  return parts;
}

async function storePart(
  { home, checkpoint }: Pick<JobContext, 'home' | 'checkpoint'>,
  name: string,
  added: readonly RefittedSubLayer[],
  seconds: number,
): Promise<void> {
  const patches = await readPatches(
    added.map(({ patch }) => patch),
    checkpoint.config,
  );
  const tensors = patches.flatMap((patch) =>
    patchToTensors(patch).map((tensor): NamedTensor => ({ ...tensor, name: `${patchName(patch)}.${tensor.name}` })),
  );
  const data = new TextEncoder().encode(JSON.stringify(added.map(({ report }) => report)));
  tensors.push({ name: REPORTS, dtype: 'U8', shape: [data.length], data });
  await home.writeTensors(name, tensors, { seconds });
}

/** What is stored of a refit, in order, up to the first sub-layer that is missing or was fitted for another student. */
export async function readRefit(
  { home, checkpoint }: Pick<JobContext, 'home' | 'checkpoint'>,
  name: string,
  { masks }: Student,
): Promise<StoredRefit> {
  const steps = keptSubLayers(masks);
  const refitted: RefittedSubLayer[] = [];
  let seconds = 0;
  while (refitted.length < steps.length) {
    const part = await home.readTensors(partName(name, refitted.length));
    if (part === null) break;
    const json = new TextDecoder().decode(part.tensors.get(REPORTS)!.data as Uint8Array);
    for (const report of JSON.parse(json) as RefitReport[]) {
      const step = { ...steps[refitted.length], part: 'output' } as const;
      const own = new Map(PARTS.map((field) => [field as string, part.tensors.get(`${patchName(step)}.${field}`)!]));
      const patch = patchFromTensors(own, step, patchSizes(checkpoint.config, step.subLayer));
      if (!isFor(patch, step.kept)) return { refitted, seconds };
      const source = await scratchBlob(home, patchToTensors(patch));
      refitted.push({ patch: { layer: step.layer, subLayer: step.subLayer, part: step.part, source }, report });
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
