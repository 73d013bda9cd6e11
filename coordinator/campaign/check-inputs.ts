// Opens what a campaign names with the checks of `espalier prune`, each model and each data set with it once, and notes all
// that is wrong. Inputs that have no place here are left out: those of volumes for a client, which its coordinator checks.
import { checkMetric } from '../../dataset/metrics.ts';
import { EspalierError, toEspalierError } from '../../shared/errors.ts';
import { Releases } from '../../shared/lifecycle.ts';
import { modelCosts } from '../job/budget.ts';
import { openHeldOut, requireHeldOut } from '../job/held-out.ts';
import { type ModelInput, openData, openEvaluation, openModel, requireDense } from '../job/open-inputs.ts';
import { drawSamples } from '../stages/plan.ts';
import type { CampaignFile, CampaignInput, CampaignSettings } from './campaign-file.ts';
import type { CampaignProblem } from './campaign-problem.ts';
import type { CampaignJob } from './expand-campaign.ts';

/** Plain data: a coordinator has it checked in a thread. */
export interface CheckRequest {
  readonly file: CampaignFile;
  readonly jobs: readonly PlacedJob[];
  /** Where the inputs lie, by `inputKey`. */
  readonly places: ReadonlyMap<string, string>;
}

export interface PlacedJob extends CampaignJob {
  /** In the campaign's file. */
  readonly position: number;
}

export interface CheckOptions {
  readonly signal: AbortSignal;
  /** Told before each model is opened. */
  readonly onModel?: (model: string, position: number, count: number) => void;
}

/** @returns everything that is wrong with the inputs, each mistake once. */
export async function checkInputs(request: CheckRequest, options: CheckOptions): Promise<CampaignProblem[]> {
  const { file, jobs, places } = request;
  const check = new InputCheck(file, places, options.signal);
  const placed = jobs.filter(({ model }) => places.has(inputKey(model)));
  const byModel = [...grouped(placed, ({ model }) => places.get(inputKey(model)) ?? '')];
  for (const [position, [model, ofModel]] of byModel.entries()) {
    options.onModel?.(model, position, byModel.length);
    await check.model(model, ofModel);
  }
  return check.problems;
}

/** One for each input of a campaign, whoever names it. */
export function inputKey(input: CampaignInput): string {
  return JSON.stringify(typeof input === 'string' ? [input] : [input.volume, input.path]);
}

/** What is wrong with the input of a job, told where the file says it: with the job or in the defaults. */
export function inputProblem(
  file: CampaignFile,
  position: number,
  key: keyof CampaignSettings,
  caught: unknown,
): CampaignProblem {
  const error = toEspalierError(caught);
  return {
    code: error.code === 'usage' || error.code === 'internal' ? 'campaign_format' : error.code,
    path: key in file.jobs[position] ? ['jobs', position, key] : ['defaults', key],
    text: `${error.message}; ${error.action}`,
  };
}

class InputCheck {
  readonly #file: CampaignFile;
  readonly #places: ReadonlyMap<string, string>;
  readonly #signal: AbortSignal;
  readonly #problems = new Map<string, CampaignProblem>();

  constructor(file: CampaignFile, places: ReadonlyMap<string, string>, signal: AbortSignal) {
    this.#file = file;
    this.#places = places;
    this.#signal = signal;
  }

  get problems(): CampaignProblem[] {
    return [...this.#problems.values()];
  }

  async model(folder: string, jobs: readonly PlacedJob[]): Promise<void> {
    const releases = new Releases();
    try {
      const model = await this.#try(jobs[0], 'model', async () => {
        const opened = await openModel(folder, releases);
        requireDense(opened, folder);
        return opened;
      });
      if (model === null) return;
      for (const [, same] of grouped(jobs, dataKey)) await this.#data(model, same);
      for (const [, same] of grouped(jobs, evaluationKey)) await this.#evaluation(model, same);
    } finally {
      await releases.run();
    }
  }

  async #data(model: ModelInput, jobs: readonly PlacedJob[]): Promise<void> {
    const [first] = jobs;
    const place = this.#places.get(inputKey(first.data));
    if (place === undefined) return;
    const { settings } = first;
    const dataset = await this.#try(first, 'data', () => openData(place, model, settings, settings.labels === 'data'));
    if (dataset === null) return;
    for (const [, same] of grouped(jobs, drawKey)) {
      const drawn = await this.#try(same[0], 'data', async () => drawSamples(dataset, same[0].settings));
      if (drawn === null) continue;
      const mean = drawn.samples.reduce((sum, { tokenIds }) => sum + tokenIds.length, 0) / drawn.samples.length;
      for (const job of same) {
        if (requireHeldOut(job.settings))
          await this.#try(job, 'max-drop', async () =>
            openHeldOut({ data: place, ...job.settings }, model.checkpoint.config, drawn),
          );
        await this.#try(job, 'budgets', async () =>
          modelCosts(model.checkpoint.config, job.settings.macsLength ?? mean, job.settings),
        );
      }
    }
  }

  async #evaluation(model: ModelInput, jobs: readonly PlacedJob[]): Promise<void> {
    const [first] = jobs;
    if (first.evaluation === null) return;
    const { evaluation: input, settings } = first;
    const metric = await this.#try(first, 'metric', async () =>
      checkMetric(model.checkpoint.config.task, settings.metric),
    );
    const place = this.#places.get(inputKey(input));
    if (metric === null || place === undefined) return;
    await this.#try(first, 'eval', () => openEvaluation(place, model, settings));
  }

  /** What `work` gives, or null after noting why it gives nothing. @throws the signal's reason. */
  async #try<Result>(job: PlacedJob, key: keyof CampaignSettings, work: () => Promise<Result>): Promise<Result | null> {
    this.#signal.throwIfAborted();
    try {
      return await work();
    } catch (caught) {
      this.#signal.throwIfAborted();
      const error = toEspalierError(caught);
      if (error.code === 'internal' && !isFromFiles(caught)) throw error;
      const problem = inputProblem(this.#file, job.position, key, caught);
      this.#problems.set(JSON.stringify(problem), problem);
      return null;
    }
  }
}

/** What the system refused, such as a path with a NUL or a folder where a file should be, and no bug. */
export function isFromFiles(caught: unknown): boolean {
  return !(caught instanceof EspalierError) && typeof (caught as NodeJS.ErrnoException | null)?.code === 'string';
}

function dataKey({ data, settings }: CampaignJob): string {
  const { columns, maxLength, stride, labels } = settings;
  return JSON.stringify([data, columns, maxLength, stride, labels]);
}

function evaluationKey({ evaluation, settings }: CampaignJob): string {
  const { columns, maxLength, stride, metric } = settings;
  return JSON.stringify([evaluation, columns, maxLength, stride, metric]);
}

function drawKey({ settings }: CampaignJob): string {
  const { samples, seed, replacement } = settings;
  return JSON.stringify([samples, seed, replacement]);
}

function grouped<Item>(items: readonly Item[], keyOf: (item: Item) => string): Map<string, [Item, ...Item[]]> {
  const groups = new Map<string, [Item, ...Item[]]>();
  for (const item of items) {
    const group = groups.get(keyOf(item));
    if (group === undefined) groups.set(keyOf(item), [item]);
    else group.push(item);
  }
  return groups;
}
