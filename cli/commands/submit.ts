// espalier submit: a campaign's file, checked whole, its inputs uploaded, its jobs queued.
import { randomUUID } from 'node:crypto';
import path from 'node:path';
import type { Command } from 'commander';
import {
  type LocatedProblem,
  locatedProblems,
  MOST_PROBLEMS,
  problemText,
  sharedCode,
} from '../../coordinator/campaign/campaign-problem.ts';
import type { OpenedCampaign } from '../../coordinator/campaign/open-campaign.ts';
import { type ErrorCode, EspalierError } from '../../shared/errors.ts';
import { formatBytes } from '../../shared/quantities.ts';
import type { ClusterClient, SubmitResponse } from '../client/cluster-client.ts';
import { addClusterOptions, addValue, rawFlags } from '../command-options.ts';
import type { CliContext } from '../context.ts';
import { FlagReader } from '../flag-reader.ts';
import { jobDetailsJson, jobJson } from '../job-json.ts';
import { readCluster } from '../parse-cluster.ts';
import { counted } from '../quantities.ts';
import { emphasisFor } from '../tables.ts';
import { type Uploaded, uploadInputs } from '../upload-inputs.ts';
import { renderJobs } from '../views/job-tables.ts';
import { plainText } from '../views/plain-text.ts';
import { requireDone, tellEnd, watchJobs } from '../watch-jobs.ts';
import { interruptible, withCluster, writeJson } from '../with-cluster.ts';

const EXAMPLES = `
Examples:
  espalier submit campaign.yaml
  espalier submit campaign.yaml --wait
  espalier submit campaign.yaml --client-key nightly-2024-05-01 --json
`;
/** A cluster that lost a blob between its upload and the submit is sent it again. */
const TRIES = 3;

/** The call that queues them may have arrived. */
const UNKNOWN = 'see `espalier list` whether its jobs were queued before you submit it again';

type CheckedCampaign = Extract<OpenedCampaign, { problems: null }>;

export function addSubmitCommand(program: Command, context: CliContext): void {
  const command = program
    .command('submit')
    .summary('queue the jobs of a campaign')
    .description(
      'Checks a campaign file and every model and data set that it names, uploads what the cluster lacks and queues all ' +
        'of its jobs, or none.',
    )
    .usage('FILE [options]')
    .argument('[FILE]', 'campaign file, see docs/campaign.md');
  addValue(command, '--client-key <key>', 'with the same key and file nothing is queued twice (default: a new one)');
  command.option('--wait', 'show what the jobs do until they have ended');
  command.option('--dry-run', 'check, and send nothing');
  command.option('--quiet', 'print no progress');
  addClusterOptions(command);
  command.addHelpText('after', EXAMPLES);
  command.action((file: string | undefined) => runSubmit(file, command, context));
}

async function runSubmit(operand: string | undefined, command: Command, context: CliContext): Promise<void> {
  const flags = new FlagReader(rawFlags(command), context.env);
  if (operand === undefined || operand === '') flags.problem('FILE: missing');
  const file = operand ?? '';
  const settings = readCluster(flags);
  const clientKey = flags.text('client-key') ?? randomUUID();
  if (clientKey.length > 128) flags.problem('--client-key: got more than 128 characters');
  flags.throwProblems('submit');
  const [json, quiet] = [flags.switched('json'), flags.switched('quiet')];
  const opened = await interruptible(
    context,
    { message: 'interrupted while the campaign was checked', action: 'nothing was submitted' },
    () => checkCampaign(file, context, quiet),
  );
  if (flags.switched('dry-run')) {
    tellChecked(opened, context, json);
    return;
  }
  const interruption = { message: 'interrupted while the campaign was sent', action: UNKNOWN };
  await withCluster(
    context,
    settings,
    async (client) => {
      const { response, uploaded } = await send(client, opened, clientKey, context, quiet).catch((caught: unknown) => {
        throw toldByCoordinator(file, caught, opened, context);
      });
      Object.assign(interruption, {
        message: 'the watch was interrupted',
        action: `the jobs go on; \`espalier watch --campaign ${response.campaignId}\` shows them again`,
      });
      const ids = response.jobs.map(({ id }) => id);
      if (!flags.switched('wait')) {
        tellSubmitted(response, uploaded, opened, context, json);
        return;
      }
      if (!json) context.stderr.write(`campaign ${response.campaignId}: ${counted(ids.length, 'job')} queued\n`);
      const silent = { ...context, stdout: { write: () => true } };
      const target = { ids: [], campaign: response.campaignId };
      const jobs = await watchJobs(client, target, json ? silent : context, json);
      if (json)
        writeJson(context, {
          ...campaignJson(response, uploaded, opened),
          jobs: inOrder(jobs, ids).map(jobDetailsJson),
        });
      else tellEnd(context, jobs, response.campaignId);
      requireDone(jobs);
    },
    interruption,
  );
}

/** @throws EspalierError after telling of all problems, a line each. */
async function checkCampaign(file: string, context: CliContext, quiet: boolean): Promise<CheckedCampaign> {
  const { stderr, signal } = context;
  const onModel = (model: string, position: number, count: number) => {
    if (!quiet) stderr.write(`checking model ${position + 1} of ${count}: ${plainText(model)}\n`);
  };
  const opened = await context.cluster.openCampaign(path.resolve(context.cwd, file), { signal, onModel });
  if (opened.problems === null) return opened;
  const { problems } = opened;
  throw toldProblems(file, { problems, count: problems.length, code: sharedCode(problems) }, context);
}

/** The problems that a coordinator has found, told as our own; another failure as it is. */
function toldByCoordinator(file: string, caught: unknown, { lineOf }: CheckedCampaign, context: CliContext): unknown {
  if (!(caught instanceof EspalierError) || caught.list === null) return caught;
  const { list, code } = caught;
  return toldProblems(file, { problems: locatedProblems(list.problems, lineOf), count: list.count, code }, context);
}

interface FoundProblems {
  readonly problems: readonly LocatedProblem[];
  /** Of all; as many of them are told as there is room for. */
  readonly count: number;
  readonly code: ErrorCode;
}

function toldProblems(
  file: string,
  { problems, count, code }: FoundProblems,
  { stderr }: Pick<CliContext, 'stderr'>,
): EspalierError {
  const told = problems.slice(0, MOST_PROBLEMS);
  for (const problem of told) stderr.write(`${plainText(`${file}:${problem.line}: ${problemText(problem)}`)}\n`);
  if (count > told.length) stderr.write(`and ${count - told.length} more\n`);
  const got = count === 1 ? 'a problem, which is' : `${count} problems, which are`;
  return new EspalierError(code, `${file}: got ${got} told above; nothing was submitted`, {
    action: 'correct the campaign file',
  });
}

async function send(
  client: ClusterClient,
  { campaign, json, inputs }: CheckedCampaign,
  clientKey: string,
  context: CliContext,
  quiet: boolean,
): Promise<{ response: SubmitResponse; uploaded: Uploaded }> {
  const request = {
    clientKey,
    campaignJson: json,
    inputs: inputs.map(({ name, files }) => ({
      name,
      files: files.map((file) => ({ name: file.name, digest: file.blob.digest, sizeBytes: file.blob.sizeBytes })),
    })),
  };
  const total = { blobs: 0, bytes: 0 };
  for (let attempt = 1; ; attempt += 1) {
    const uploaded = await uploadInputs(client, inputs, context, quiet);
    total.blobs += uploaded.blobs;
    total.bytes += uploaded.bytes;
    try {
      return { response: await client.submit(request), uploaded: total };
    } catch (caught) {
      const isLost = caught instanceof EspalierError && caught.code === 'blob_missing';
      if (!isLost || attempt === TRIES) throw caught;
      if (!quiet) context.stderr.write(`note: the cluster lost inputs of ${campaign.name}; they are sent again\n`);
    }
  }
}

function tellChecked({ campaign, jobs, inputs }: CheckedCampaign, context: CliContext, json: boolean): void {
  const sizes = new Map(inputs.flatMap(({ files }) => files.map(({ blob }) => [blob.digest, blob.sizeBytes])));
  const bytes = [...sizes.values()].reduce((sum, size) => sum + size, 0);
  if (json)
    writeJson(context, {
      campaign: { name: campaign.name },
      inputs: { blobs: sizes.size, bytes },
      jobs: jobs.map(({ name, priority, settings }) => ({
        name,
        priority,
        budgets: settings.budgets.map(({ text }) => text),
      })),
    });
  else {
    for (const { name, settings } of jobs)
      context.stdout.write(`${name}: budgets ${settings.budgets.map(({ text }) => text).join(', ')}\n`);
    context.stdout.write(
      `${campaign.name}: checked ${counted(jobs.length, 'job')} with ${formatBytes(bytes)} of inputs; nothing was sent\n`,
    );
  }
}

function tellSubmitted(
  response: SubmitResponse,
  uploaded: Uploaded,
  opened: CheckedCampaign,
  context: CliContext,
  json: boolean,
): void {
  if (json) {
    writeJson(context, { ...campaignJson(response, uploaded, opened), jobs: response.jobs.map(jobJson) });
    return;
  }
  const { stdout, env } = context;
  if (response.jobs.length > 0) stdout.write(renderJobs(response.jobs, emphasisFor(stdout, env)));
  const verb = response.created ? 'queued' : 'was queued before';
  const sent =
    uploaded.blobs === 0
      ? 'its files were there already'
      : `${counted(uploaded.blobs, 'file')} of ${formatBytes(uploaded.bytes)} uploaded`;
  stdout.write(`\nCampaign ${opened.campaign.name} (${response.campaignId}) ${verb}: ${sent}\n`);
  stdout.write(`Next: espalier watch --campaign ${response.campaignId}\n`);
  stdout.write(`Then: espalier fetch --campaign ${response.campaignId} --out DIR\n`);
}

function campaignJson({ campaignId, created }: SubmitResponse, uploaded: Uploaded, { campaign }: CheckedCampaign) {
  return { campaign: { id: campaignId, name: campaign.name }, created, uploaded };
}

function inOrder<Item extends { readonly id: string }>(items: readonly Item[], ids: readonly string[]): Item[] {
  return [...items].sort((a, b) => ids.indexOf(a.id) - ids.indexOf(b.id));
}
