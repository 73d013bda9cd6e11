// espalier status: everything about one job.
import type { Command } from 'commander';
import { addClusterOptions, rawFlags } from '../command-options.ts';
import type { CliContext } from '../context.ts';
import { FlagReader } from '../flag-reader.ts';
import { jobDetailsJson } from '../job-json.ts';
import { readCluster, readId } from '../parse-cluster.ts';
import { emphasisFor } from '../tables.ts';
import { renderJob } from '../views/job-tables.ts';
import { withCluster, writeJson } from '../with-cluster.ts';

const EXAMPLES = `
Examples:
  espalier status 3f2a
  espalier status 3f2a --json
`;

export function addStatusCommand(program: Command, context: CliContext): void {
  const command = program
    .command('status')
    .summary('show one job')
    .description('Shows one job: its state, its error if it failed, its results if it is done.')
    .usage('ID [options]')
    .argument('[ID]', 'id of the job, or the first 4 or more of its digits');
  addClusterOptions(command);
  command.addHelpText('after', EXAMPLES);
  command.action((operand: string | undefined) => runStatus(operand, command, context));
}

async function runStatus(operand: string | undefined, command: Command, context: CliContext): Promise<void> {
  const flags = new FlagReader(rawFlags(command), context.env);
  const id = readId(flags, operand);
  const settings = readCluster(flags);
  flags.throwProblems('status');
  const job = await withCluster(context, settings, (client) => client.get(id));
  if (flags.switched('json')) writeJson(context, jobDetailsJson(job));
  else context.stdout.write(renderJob(job, emphasisFor(context.stdout, context.env)));
}
