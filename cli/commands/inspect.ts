// espalier inspect: what a checkpoint holds.
import type { Command } from 'commander';
import { rawFlags } from '../command-options.ts';
import type { CliContext } from '../context.ts';
import { FlagReader } from '../flag-reader.ts';
import { readFolder } from '../parse-common.ts';
import { renderDescription } from '../tables.ts';

const EXAMPLES = `
Examples:
  espalier inspect ./bert-sst2
  espalier inspect ./pruned/0.5 --json
`;

export function addInspectCommand(program: Command, context: CliContext): void {
  const command = program
    .command('inspect')
    .summary('show what a checkpoint holds')
    .description('Shows what a checkpoint holds: its task, sizes, and heads and neurons by layer.')
    .usage('DIR [options]')
    .argument('[DIR]', 'folder with config.json and model.safetensors')
    .option('--json', 'print one JSON object and no table')
    .addHelpText('after', EXAMPLES);
  command.action((operand: string | undefined) => runInspect(operand, command, context));
}

async function runInspect(operand: string | undefined, command: Command, context: CliContext): Promise<void> {
  const flags = new FlagReader(rawFlags(command));
  const directory = readFolder(flags, operand, 'DIR');
  flags.throwProblems('inspect');
  const description = await context.jobs.inspect(directory);
  context.stdout.write(
    flags.switched('json') ? `${JSON.stringify(description, null, 2)}\n` : renderDescription(description),
  );
}
