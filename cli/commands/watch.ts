// espalier watch: what jobs do, until they have ended.
import type { Command } from 'commander';
import { addClusterOptions, addValue, rawFlags } from '../command-options.ts';
import type { CliContext } from '../context.ts';
import { FlagReader } from '../flag-reader.ts';
import { readCluster, readId } from '../parse-cluster.ts';
import { requireDone, tellEnd, watchJobs } from '../watch-jobs.ts';
import { withCluster } from '../with-cluster.ts';

const EXAMPLES = `
Examples:
  espalier watch 3f2a
  espalier watch --campaign 77c0 --json
`;

export function addWatchCommand(program: Command, context: CliContext): void {
  const command = program
    .command('watch')
    .summary('show what jobs do until they have ended')
    .description(
      'Shows stages, progress and the time left of a job or of all jobs of a campaign until they have ended. Ends with ' +
        'exit code 8 when a job failed and 130 when one was cancelled.',
    )
    .usage('ID [options] | --campaign ID [options]')
    .argument('[ID]', 'id of the job, or the first 4 or more of its digits');
  addValue(command, '--campaign <id>', 'all jobs of this campaign');
  addClusterOptions(command);
  command.addHelpText('after', EXAMPLES);
  command.action((operand: string | undefined) => runWatch(operand, command, context));
}

async function runWatch(operand: string | undefined, command: Command, context: CliContext): Promise<void> {
  const flags = new FlagReader(rawFlags(command), context.env);
  const campaign = flags.text('campaign');
  if (campaign !== null && operand !== undefined) flags.problem('--campaign: got a job as well, expected one of them');
  const id = readId(flags, campaign ?? operand, campaign === null ? 'ID' : '--campaign');
  const settings = readCluster(flags);
  flags.throwProblems('watch');
  const jobs = await withCluster(
    context,
    settings,
    async (client) => {
      const target =
        campaign === null ? { ids: [(await client.get(id)).id], campaign: null } : { ids: [], campaign: id };
      return watchJobs(client, target, context, flags.switched('json'));
    },
    { message: 'the watch was interrupted', action: 'the jobs go on' },
  );
  if (!flags.switched('json')) tellEnd(context, jobs, campaign);
  requireDone(jobs);
}
