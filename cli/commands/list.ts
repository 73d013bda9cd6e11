// espalier list: the jobs of a cluster, newest first.

import type { Command } from 'commander';
import { addClusterOptions, addValue, rawFlags } from '../command-options.ts';
import type { CliContext } from '../context.ts';
import { FlagReader } from '../flag-reader.ts';
import { jobJson } from '../job-json.ts';
import { readCluster, readId } from '../parse-cluster.ts';
import { counted } from '../quantities.ts';
import { emphasisFor } from '../tables.ts';
import { renderJobs } from '../views/job-tables.ts';
import { withCluster, writeJson } from '../with-cluster.ts';

const EXAMPLES = `
Examples:
  espalier list
  espalier list --campaign 3f2a --state failed,cancelled --json
`;
const STATES = ['queued', 'running', 'done', 'failed', 'cancelled'];

export function addListCommand(program: Command, context: CliContext): void {
  const command = program
    .command('list')
    .summary('list the jobs of a cluster')
    .description('Lists the jobs of a cluster, newest first.')
    .usage('[options]');
  addValue(command, '--campaign <id>', 'only jobs of this campaign, by its id or the first 4 or more digits');
  addValue(command, '--state <state>', `only jobs in this state: ${STATES.join(', ')}; a,b or repeat it for several`);
  addValue(command, '--limit <n>', 'jobs to list at most (default: 100)');
  addClusterOptions(command);
  command.addHelpText('after', EXAMPLES);
  command.action(() => runList(command, context));
}

async function runList(command: Command, context: CliContext): Promise<void> {
  const flags = new FlagReader(rawFlags(command), context.env);
  const settings = readCluster(flags);
  const campaign = flags.text('campaign') === null ? null : readId(flags, flags.text('campaign')!, '--campaign');
  const states = flags.all('state').flatMap((list) => list.split(','));
  for (const state of states)
    if (!STATES.includes(state)) flags.problem(`--state: got ${state || 'nothing'}, expected ${STATES.join(', ')}`);
  const limit = flags.integer('limit', { min: 1, max: 1_000_000 }, null);
  flags.throwProblems('list');
  const { jobs, hasMore } = await withCluster(context, settings, (client) =>
    client.list({ campaign, states }, limit ?? undefined),
  );
  if (flags.switched('json')) writeJson(context, { jobs: jobs.map(jobJson), hasMore });
  else if (jobs.length > 0) context.stdout.write(renderJobs(jobs, emphasisFor(context.stdout, context.env)));
  if (hasMore) context.stderr.write(`note: there are more than ${counted(limit ?? 0, 'job')}; --limit shows more\n`);
  else if (jobs.length === 0) context.stderr.write('note: no jobs\n');
}
