// From the jobs of a campaign and the files that its client has uploaded to what the cluster stores. The paths that the
// campaign names are keys into those files and nothing else.
import { extname } from 'node:path';
import type { UploadedInput__Output } from '../../shared/rpc/generated/espalier/v1/UploadedInput.ts';
import { type FileKind, isFileName, isWeightFile, MOST_FILES } from '../jobs/file-names.ts';
import type { FileRef, FileSource } from '../jobs/job-record.ts';
import type { SubmittedJob } from '../jobs/job-store.ts';
import type { CampaignInput } from './campaign-file.ts';
import { type CampaignProblem, valueText, wrong } from './campaign-problem.ts';
import type { CampaignJob } from './expand-campaign.ts';
import { volumeParts } from './volume-path.ts';

const DIGEST = /^[0-9a-f]{64}$/;
const LONGEST_LABEL = 100;

export interface SpecOptions {
  readonly inputs: readonly UploadedInput__Output[];
  /** Names of the volumes that the coordinator has. */
  readonly volumes: { has(name: string): boolean };
  readonly largestFileBytes: number;
}

/** Specs of all jobs, the files that they name, each once, and everything that is wrong with the files. */
export function jobSpecs(
  jobs: readonly CampaignJob[],
  options: SpecOptions,
): { jobs: SubmittedJob[]; files: FileRef[]; problems: CampaignProblem[] } {
  const problems: CampaignProblem[] = [];
  const byName = new Map<string, UploadedInput__Output>();
  for (const input of options.inputs) {
    if (byName.has(input.name)) problems.push(wrong([], `inputs: got ${valueText(input.name)} twice`));
    byName.set(input.name, input);
  }
  const used = new Map<string, FileKind>();
  const files = new Map<string, FileRef>();
  const sourceOf = (kind: FileKind, input: CampaignInput, place: readonly (string | number)[]): FileSource => {
    if (typeof input !== 'string') {
      if (!options.volumes.has(input.volume))
        problems.push(wrong(place, `got volume "${input.volume}", which this coordinator does not have`));
      return { kind: 'volume', volume: input.volume, path: volumeParts(input.path) };
    }
    const found = byName.get(input);
    const earlier = used.get(input);
    used.set(input, kind);
    if (found === undefined) problems.push(wrong(place, `got no files for ${valueText(input)}`));
    else if (earlier === undefined) problems.push(...fileProblems(kind, found, options.largestFileBytes, place));
    else if (earlier !== kind) problems.push(wrong(place, `got ${valueText(input)} as a model and as data`));
    const refs = (found?.files ?? []).map(({ name, digest, sizeBytes }) => ({ name, digest, sizeBytes }));
    for (const ref of refs) {
      const other = files.get(ref.digest);
      if (other !== undefined && other.sizeBytes !== ref.sizeBytes)
        problems.push(wrong(place, `${ref.name}: got ${ref.sizeBytes} bytes for a blob of ${other.sizeBytes}`));
      files.set(ref.digest, ref);
    }
    return { kind: 'blobs', label: labelOf(input), files: refs };
  };
  const submitted = jobs.map((job, position): SubmittedJob => {
    const { settings, evaluation } = job;
    const at = (key: string) => ['jobs', position, key];
    return {
      name: job.name,
      priority: job.priority,
      spec: {
        ...settings,
        columns: { ...settings.columns },
        model: sourceOf('model', job.model, at('model')),
        data: sourceOf('data', job.data, at('data')),
        evaluation: evaluation === null ? null : sourceOf('data', evaluation, at('eval')),
      },
    };
  });
  for (const name of byName.keys())
    if (!used.has(name)) problems.push(wrong([], `inputs: got ${valueText(name)}, which no job names`));
  return { jobs: submitted, files: [...files.values()], problems };
}

function fileProblems(
  kind: FileKind,
  { files }: UploadedInput__Output,
  largestFileBytes: number,
  place: readonly (string | number)[],
): CampaignProblem[] {
  if (files.length > MOST_FILES) return [wrong(place, `got ${files.length} files, expected at most ${MOST_FILES}`)];
  const texts: string[] = [];
  for (const [position, { name, digest, sizeBytes }] of files.entries()) {
    if (!isFileName(kind, name)) texts.push(`got file ${valueText(name)}, expected one of a ${kind}`);
    else if (files.findIndex((other) => other.name === name) < position) texts.push(`got file ${name} twice`);
    if (!DIGEST.test(digest)) texts.push(`${valueText(name)}: got digest ${valueText(digest)}, expected 64 digits`);
    if (!Number.isSafeInteger(sizeBytes) || sizeBytes < 0 || sizeBytes > largestFileBytes)
      texts.push(`${valueText(name)}: got ${sizeBytes} bytes, expected at most ${largestFileBytes}`);
  }
  const names = files.map(({ name }) => name);
  if (kind === 'data' && files.length !== 1) texts.push(`got ${files.length} files, expected one`);
  if (kind === 'model' && !names.includes('config.json')) texts.push('got no config.json');
  if (kind === 'model' && !names.some(isWeightFile)) texts.push('got no model.safetensors');
  return texts.map((text) => wrong(place, text));
}

/** What messages call an input: the last part of the user's path. */
function labelOf(input: string): string {
  const name =
    input
      .split(/[/\\]/)
      .filter((part) => /[^.]/.test(part))
      .at(-1) ?? 'input';
  const plain = name.replace(/[\p{Cc}\p{Cf}]/gu, '?');
  return plain.length > LONGEST_LABEL ? plain.slice(0, LONGEST_LABEL) + extname(plain).slice(0, 12) : plain;
}
