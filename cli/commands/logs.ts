// espalier logs: what is kept of a job's events, a line each.
import type { Command } from 'commander';
import type { EspalierError } from '../../shared/errors.ts';
import type { JobEvent } from '../client/cluster-client.ts';
import { addClusterOptions, rawFlags } from '../command-options.ts';
import type { CliContext } from '../context.ts';
import { FlagReader } from '../flag-reader.ts';
import { parsed } from '../job-json.ts';
import { readCluster, readId } from '../parse-cluster.ts';
import { plainText } from '../views/plain-text.ts';
import { eventText, readEvent } from '../views/watched-event.ts';
import { withCluster } from '../with-cluster.ts';

const EXAMPLES = `
Examples:
  espalier logs 3f2a
  espalier logs 3f2a --follow
`;

export function addLogsCommand(program: Command, context: CliContext): void {
  const command = program
    .command('logs')
    .summary('print the events of a job')
    .description('Prints the events of a job that are kept, a line each: when, in which attempt, what.')
    .usage('ID [options]')
    .argument('[ID]', 'id of the job, or the first 4 or more of its digits');
  command.option('--follow', 'go on with new events until the job has ended');
  addClusterOptions(command);
  command.addHelpText('after', EXAMPLES);
  command.action((operand: string | undefined) => runLogs(operand, command, context));
}

async function runLogs(operand: string | undefined, command: Command, context: CliContext): Promise<void> {
  const flags = new FlagReader(rawFlags(command), context.env);
  const id = readId(flags, operand);
  const settings = readCluster(flags);
  flags.throwProblems('logs');
  const { signal, stdout, stderr } = context;
  const onEvent = (event: JobEvent) => {
    const line = flags.switched('json') ? jsonLine(event) : textLine(event);
    if (line !== null) stdout.write(`${line}\n`);
  };
  const onLost = (error: EspalierError) => stderr.write(`note: ${error.message}; looking for a coordinator\n`);
  const keptOnly = !flags.switched('follow');
  await withCluster(context, settings, (client) => client.watch(id, { after: 0, keptOnly, signal, onEvent, onLost }), {
    message: 'interrupted',
    action: 'the job goes on',
  });
}

function jsonLine({ sequence, time, attempt, eventJson }: JobEvent): string {
  return JSON.stringify({ sequence, time, attempt, event: parsed(eventJson) });
}

function textLine({ time, attempt, eventJson }: JobEvent): string | null {
  const event = readEvent(eventJson);
  const text = event === null ? null : eventText(event);
  return text === null ? null : `${plainText(time)}  ${attempt}  ${text}`;
}
