// espalier health: whether a process lives, or can do its work. For the health commands of containers.
import type { Command } from 'commander';
import { isAddress } from '../../shared/rpc/address.ts';
import { addValue, rawFlags } from '../command-options.ts';
import type { CliContext } from '../context.ts';
import { FlagReader } from '../flag-reader.ts';

const EXAMPLES = `
Examples:
  espalier health 127.0.0.1:9480
  espalier health 127.0.0.1:9481 --service ready
`;

export function addHealthCommand(program: Command, context: CliContext): void {
  const command = program
    .command('health')
    .summary('ask a coordinator or worker for its health')
    .description('Asks the --health-port of a coordinator or worker whether it lives, or can do its work.')
    .usage('HOST:PORT [options]')
    .argument('[HOST:PORT]', 'where the process has its health port');
  addValue(command, '--service <name>', 'alive, or ready: whether it can do its work (default: alive)');
  command.addHelpText('after', EXAMPLES);
  command.action((operand: string | undefined) => runHealth(operand, command, context));
}

async function runHealth(operand: string | undefined, command: Command, context: CliContext): Promise<void> {
  const flags = new FlagReader(rawFlags(command));
  const address = operand ?? '';
  if (address === '') flags.problem('HOST:PORT: missing');
  else if (!isAddress(address)) flags.problem(`HOST:PORT: got ${address}, expected one`);
  const service = flags.choice('service', ['alive', 'ready'], 'alive');
  flags.throwProblems('health');
  await context.cluster.askHealth(address, service === 'alive' ? '' : service);
  context.stdout.write('SERVING\n');
}
