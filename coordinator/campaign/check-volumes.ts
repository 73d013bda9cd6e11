// What a client cannot check: jobs with an input on a volume. Their inputs are gathered as for the jobs themselves, uploaded
// ones out of the store among them, and opened in a thread, each model with its data once. A check has a place, a time and
// a folder, all of which end with it.
import { mkdir, rm } from 'node:fs/promises';
import path from 'node:path';
import { type ErrorCode, EspalierError, toEspalierError } from '../../shared/errors.ts';
import { Releases } from '../../shared/lifecycle.ts';
import { type GatheredInput, gatherInput } from '../job/cluster-inputs.ts';
import type { JobResources } from '../job-resources.ts';
import type { FileKind } from '../jobs/file-names.ts';
import type { FileSource } from '../jobs/job-record.ts';
import type { SubmittedJob } from '../jobs/job-store.ts';
import type { CampaignFile, CampaignInput } from './campaign-file.ts';
import type { CampaignProblem } from './campaign-problem.ts';
import { inputKey, inputProblem, isFromFiles, type PlacedJob } from './check-inputs.ts';
import type { CampaignJob } from './expand-campaign.ts';

/** Campaigns that are checked at a time; the threads that they share with jobs are fewer. */
const MOST_CHECKS = 4;
/** Within the time that a client gives a submit. */
const CHECK_MS = 240_000;
/** What is wrong with an input, and not with this coordinator, NATS or the store. */
const INPUT_CODES: readonly ErrorCode[] = [
  'campaign_format',
  'model_not_found',
  'data_not_found',
  'output_unwritable',
  'limit_exceeded',
];

export interface VolumeCheckParts {
  readonly resources: Pick<JobResources, 'blobs' | 'cache' | 'volumes' | 'readers'>;
  /** A path that nothing else uses. */
  readonly newFolder: () => string;
  /** For tests. */
  readonly timeoutMs?: number;
}

/** A campaign whose form is right, with its jobs as they would be stored, in the same order. */
export interface SubmittedCampaign {
  readonly file: CampaignFile;
  readonly jobs: readonly CampaignJob[];
  readonly submitted: readonly SubmittedJob[];
}

interface NamedInput {
  readonly input: CampaignInput;
  readonly source: FileSource;
  readonly kind: FileKind;
  /** The first that names it. */
  readonly position: number;
  readonly key: 'model' | 'data' | 'eval';
}

export class VolumeChecks {
  readonly #parts: VolumeCheckParts;
  #running = 0;

  constructor(parts: VolumeCheckParts) {
    this.#parts = parts;
  }

  /** @returns everything that is wrong with the inputs of jobs that name a volume.
   * @throws EspalierError "worker_busy" while there are too many, "limit_exceeded" when it takes too long, "blob_missing". */
  async check(campaign: SubmittedCampaign, signal: AbortSignal): Promise<CampaignProblem[]> {
    const jobs = campaign.jobs.map((job, position) => ({ ...job, position })).filter(namesVolume);
    if (jobs.length === 0) return [];
    if (this.#running >= MOST_CHECKS)
      throw new EspalierError('worker_busy', `got one more campaign while ${MOST_CHECKS} are checked`, {
        action: 'try again in a moment',
      });
    this.#running += 1;
    const releases = new Releases();
    const limit = timeLimit(this.#parts.timeoutMs ?? CHECK_MS);
    releases.add(limit.clear);
    const folder = this.#parts.newFolder();
    try {
      await mkdir(folder, { recursive: true });
      releases.add(() => rm(folder, { recursive: true, force: true }));
      return await this.#checkIn(folder, campaign, jobs, releases, AbortSignal.any([signal, limit.signal]));
    } finally {
      await releases.run();
      this.#running -= 1;
    }
  }

  async #checkIn(
    folder: string,
    { file, submitted }: SubmittedCampaign,
    jobs: readonly PlacedJob[],
    releases: Releases,
    signal: AbortSignal,
  ): Promise<CampaignProblem[]> {
    const problems: CampaignProblem[] = [];
    const gathered = new Map<string, GatheredInput>();
    for (const [id, named] of inputsOf(jobs, submitted)) {
      signal.throwIfAborted();
      const place = path.join(folder, `${gathered.size + problems.length}-input`);
      const found = await gatherInput(named.source, named.kind, place, this.#parts.resources, releases, signal).catch(
        (caught: unknown) => {
          signal.throwIfAborted();
          requireInputFault(caught);
          problems.push(inputProblem(file, named.position, named.key, caught));
          return null;
        },
      );
      if (found !== null) gathered.set(id, found);
    }
    const places = new Map([...gathered].map(([id, input]) => [id, input.path]));
    // A model that could not be gathered has its problem, and needs no thread.
    for (const id of new Set(jobs.map(({ model }) => inputKey(model)).filter((key) => gathered.has(key)))) {
      const ofModel = jobs.filter(({ model }) => inputKey(model) === id);
      const request = { file, jobs: ofModel, places };
      const found = await this.#parts.resources.readers
        .run('check', request, { signal, once: true })
        .catch((caught: unknown) => {
          signal.throwIfAborted();
          requireInputFault(caught);
          return [inputProblem(file, ofModel[0].position, 'data', caught)];
        });
      problems.push(...found.map((problem) => ({ ...problem, text: asNamed(problem.text, gathered) })));
    }
    return problems;
  }
}

function namesVolume({ model, data, evaluation }: CampaignJob): boolean {
  return [model, data, evaluation].some((input) => typeof input === 'object' && input !== null);
}

/** Each input once, by its key. */
function inputsOf(jobs: readonly PlacedJob[], submitted: readonly SubmittedJob[]): Map<string, NamedInput> {
  const inputs = new Map<string, NamedInput>();
  for (const { position, model, data, evaluation } of jobs) {
    const { spec } = submitted[position];
    const add = (input: CampaignInput, source: FileSource, kind: FileKind, key: NamedInput['key']) => {
      const id = inputKey(input);
      if (!inputs.has(id)) inputs.set(id, { input, source, kind, position, key });
    };
    add(model, spec.model, 'model', 'model');
    add(data, spec.data, 'data', 'data');
    if (evaluation !== null && spec.evaluation !== null) add(evaluation, spec.evaluation, 'data', 'eval');
  }
  return inputs;
}

/** @throws what it is given, unless an input is to blame for it. */
function requireInputFault(caught: unknown): void {
  if (!INPUT_CODES.includes(toEspalierError(caught).code) && !isFromFiles(caught)) throw caught;
}

/** Names inputs as the campaign does, not by where they lie here. */
function asNamed(text: string, gathered: ReadonlyMap<string, GatheredInput>): string {
  return [...gathered.values()].reduce((told, { path: place, label }) => told.replaceAll(place, label), text);
}

function timeLimit(timeoutMs: number): { readonly signal: AbortSignal; readonly clear: () => void } {
  const limit = new AbortController();
  const timer = setTimeout(() => {
    const text = `campaign: its inputs on volumes took more than ${timeoutMs / 1000} s to check`;
    limit.abort(new EspalierError('limit_exceeded', text, { action: 'submit fewer jobs at a time' }));
  }, timeoutMs);
  return { signal: limit.signal, clear: () => clearTimeout(timer) };
}
