// A campaign file, checked whole before anything is sent: its form, then its jobs, then every model and data set that it
// names. Each step tells of everything that it finds; a later one runs only after an earlier one found nothing.
import { readFile, stat } from 'node:fs/promises';
import path from 'node:path';
import { EspalierError } from '../../shared/errors.ts';
import type { CampaignFile } from './campaign-file.ts';
import { type CampaignProblem, type LocatedProblem, locatedProblems } from './campaign-problem.ts';
import { type CheckOptions, checkInputs, inputKey } from './check-inputs.ts';
import { checkSchema } from './check-schema.ts';
import { type CampaignJob, expandCampaign } from './expand-campaign.ts';
import { type LocalInput, localInputs } from './local-inputs.ts';
import { type CampaignText, MOST_CAMPAIGN_BYTES, readCampaign } from './read-campaign.ts';

export type OpenedCampaign =
  | { readonly problems: readonly LocatedProblem[] }
  | {
      readonly problems: null;
      readonly campaign: CampaignFile;
      /** What a coordinator is sent. */
      readonly json: string;
      readonly jobs: readonly CampaignJob[];
      readonly inputs: readonly LocalInput[];
      /** See CampaignText. */
      readonly lineOf: CampaignText['lineOf'];
    };

/** Reads and checks a campaign file. @throws EspalierError "usage" where there is none, what an input's reading threw. */
export async function openCampaign(file: string, options: CheckOptions): Promise<OpenedCampaign> {
  const text = readCampaign(await readText(file));
  if (text.problems.length > 0) return { problems: text.problems };
  const located = (problems: readonly CampaignProblem[]): OpenedCampaign => ({
    problems: locatedProblems(problems, text.lineOf),
  });
  const checked = checkSchema(text.value);
  if ('problems' in checked) return located(checked.problems);
  const { campaign } = checked;
  const expanded = expandCampaign(campaign);
  if (expanded.problems.length > 0) return located(expanded.problems);
  const json = JSON.stringify(campaign);
  if (json.length > MOST_CAMPAIGN_BYTES) {
    const got = `got ${json.length} characters with its aliases written out, expected at most ${MOST_CAMPAIGN_BYTES}`;
    return located([{ code: 'campaign_format', path: [], text: got }]);
  }
  const folder = path.dirname(path.resolve(file));
  const jobs = expanded.jobs.map((job, position) => ({ ...job, position }));
  const places = localPlaces(expanded.jobs, folder);
  const problems = await checkInputs({ file: campaign, jobs, places }, options);
  if (problems.length > 0) return located(problems);
  const inputs = await localInputs(expanded.jobs, folder, options.signal);
  return { problems: null, campaign, json, jobs: expanded.jobs, inputs, lineOf: text.lineOf };
}

/** Where the inputs that are paths lie; those of volumes are on machines of the cluster. */
function localPlaces(jobs: readonly CampaignJob[], folder: string): Map<string, string> {
  const inputs = jobs.flatMap(({ model, data, evaluation }) => [model, data, evaluation]);
  const local = inputs.filter((input) => typeof input === 'string');
  return new Map(local.map((input) => [inputKey(input), path.resolve(folder, input)]));
}

async function readText(file: string): Promise<string> {
  const action = 'give the path of a campaign file';
  const found = await stat(file).catch(() => null);
  if (!found?.isFile()) {
    const got = found === null ? 'nothing' : 'no plain file';
    throw new EspalierError('usage', `${file}: got ${got}, expected a campaign file`, { action });
  }
  if (found.size > MOST_CAMPAIGN_BYTES) {
    const message = `${file}: got ${found.size} bytes, expected at most ${MOST_CAMPAIGN_BYTES}`;
    throw new EspalierError('campaign_format', message);
  }
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(await readFile(file));
  } catch (cause) {
    if (cause instanceof TypeError)
      throw new EspalierError('campaign_format', `${file}: got bytes that are not UTF-8`, { cause });
    throw cause;
  }
}
