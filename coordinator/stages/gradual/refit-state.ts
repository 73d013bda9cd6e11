// What a refit has found so far, as it is stored: in parts, each with the patches that were found since the one before, so
// that nothing is written twice; of what stayed as it was the report alone. A part is named by its first patch; its reports say
// how many it has. They lie among its tensors: the record of a job in the cluster has room for the names of a large model's
// parts, not for what is told of each.
import { type Patch, type PatchPlace, patchFromTensors, patchSizes, patchToTensors } from '../../../pruning/patch.ts';
import type { NamedTensor } from '../../../shared/tensor.ts';
import type { JobContext } from '../../job/job-context.ts';
import { readPatches } from '../../job/read-patches.ts';
import { scratchBlob } from '../../job/scratch-blob.ts';
import type { Student } from '../../job/student.ts';
import type { RefitReport } from '../../prune-report.ts';
import type { StepSettings } from '../../step-settings.ts';
import { patchesToFit } from './patches-to-fit.ts';
import { isUnchanged, type RefittedPatch } from './refit.ts';

const FIELDS = ['kept', 'weight', 'bias'] as const;
/** JSON, no patch's name. */
const REPORTS = 'reports';
/** Patches of one part, which are in memory while it is written; one that is larger is a part by itself. */
const MOST_PART_BYTES = 2 ** 25;

export interface StoredRefit {
  readonly refitted: readonly RefittedPatch[];
  /** Until the last of them was found. */
  readonly seconds: number;
}

/** Stores what is not there yet. @param stored how many patches are. @param mostPartBytes of a part's patches. */
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

/** What is not stored yet, cut into parts, each with the number of its first patch. */
function partsOf(refitted: readonly RefittedPatch[], stored: number, mostBytes: number): [number, RefittedPatch[]][] {
  const parts: [number, RefittedPatch[]][] = [];
  let bytes = Number.POSITIVE_INFINITY;
  for (const [at, found] of refitted.entries()) {
    if (at < stored) continue;
    const sizeBytes = found.patch?.source.sizeBytes ?? 0;
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
  added: readonly RefittedPatch[],
  seconds: number,
): Promise<void> {
  const patches = await readPatches(
    added.flatMap(({ patch }) => patch ?? []),
    checkpoint.config,
  );
  const tensors = patches.flatMap((patch) =>
    patchToTensors(patch).map((tensor): NamedTensor => ({ ...tensor, name: `${storedName(patch)}.${tensor.name}` })),
  );
  const data = new TextEncoder().encode(JSON.stringify(added.flatMap(({ reports }) => reports)));
  tensors.push({ name: REPORTS, dtype: 'U8', shape: [data.length], data });
  await home.writeTensors(name, tensors, { seconds });
}

/** What is stored of a refit, in order, up to the first patch that is missing or was fitted for another student. */
export async function readRefit(
  context: Pick<JobContext, 'home' | 'checkpoint' | 'lendBlob'>,
  name: string,
  { masks }: Student,
  settings: Pick<StepSettings, 'refit'>,
): Promise<StoredRefit> {
  const { home, checkpoint } = context;
  const places = patchesToFit(masks, checkpoint.config, settings);
  const refitted: RefittedPatch[] = [];
  let seconds = 0;
  while (refitted.length < places.length) {
    const part = await home.readTensors(partName(name, refitted.length));
    if (part === null) break;
    const json = new TextDecoder().decode(part.tensors.get(REPORTS)!.data as Uint8Array);
    const reports = JSON.parse(json) as RefitReport[];
    while (reports.length > 0) {
      const { kept, parts, ...place } = places[refitted.length];
      const ofPatch = reports.splice(0, parts.length);
      if (isUnchanged(ofPatch)) {
        refitted.push({ patch: null, reports: ofPatch });
        continue;
      }
      const own = new Map(FIELDS.map((field) => [field as string, part.tensors.get(`${storedName(place)}.${field}`)!]));
      const patch = patchFromTensors(own, place, patchSizes(checkpoint.config, place.subLayer));
      if (!isFor(patch, kept)) return { refitted, seconds };
      const source = await scratchBlob(context, patchToTensors(patch));
      refitted.push({ patch: { ...place, source }, reports: ofPatch });
    }
    seconds = Number(part.meta.seconds);
  }
  return { refitted, seconds };
}

function partName(name: string, first: number): string {
  return `${name}-${first}`;
}

function storedName({ layer, subLayer, part }: PatchPlace): string {
  return `${layer}.${subLayer}${part === 'input' ? '.input' : ''}`;
}

function isFor({ kept }: Patch, expected: Int32Array): boolean {
  return kept.length === expected.length && kept.every((index, i) => index === expected[i]);
}
