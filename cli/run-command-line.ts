// From the words of the command line to an exit code. Every failure leaves as one line on standard error.
import { Command, CommanderError } from 'commander';
import { EspalierError, toEspalierError } from '../shared/errors.ts';
import { espalierVersion } from '../shared/rpc/version.ts';
import { addProcessCommands, PROCESSES, processOf } from './commands/processes.ts';
import { COMMANDS } from './commands.ts';
import type { CliContext } from './context.ts';

const EXAMPLES = `
Examples:
  espalier prune ./bert-sst2 --data train.jsonl --eval dev.jsonl --budget 0.5 --out ./pruned
  espalier evaluate ./pruned/0.5 --data dev.jsonl
  espalier inspect ./pruned/0.5
  espalier export ./pruned/0.5 --out pruned.onnx
  espalier submit campaign.yaml --wait
`;

const HELP_WORDS = ['help', '--help', '-h'];

/** @param words the arguments after the program's name.
 * @returns the exit code: 0, or that of the error's code (docs/cli.md). */
export async function runCommandLine(words: readonly string[], context: CliContext): Promise<number> {
  try {
    const served = processOf(words);
    if (served !== null) await context.cluster.serve(served, words.slice(1), context.env);
    else await (await buildProgram(words, context)).parseAsync([...words], { from: 'user' });
    return 0;
  } catch (caught) {
    if (caught instanceof CommanderError && caught.exitCode === 0) return 0;
    const error = caught instanceof CommanderError ? usageError(caught, words) : toEspalierError(caught);
    reportError(error, context);
    return error.exitCode;
  }
}

/** Tells of an error: one line, and its stack as well with ESPALIER_DEBUG=1. */
export function reportError(error: EspalierError, { stderr, env }: Pick<CliContext, 'stderr' | 'env'>): void {
  stderr.write(`espalier: ${error.line}\n`);
  if (env.ESPALIER_DEBUG !== '1') return;
  for (let cause: unknown = error; cause instanceof Error; cause = cause.cause) stderr.write(`${cause.stack}\n`);
}

/** With those commands in full that the words may be about; of the others their names, for messages. */
async function buildProgram(words: readonly string[], context: CliContext): Promise<Command> {
  const program = new Command('espalier')
    .description('Prunes fine-tuned transformers after training.')
    .usage('COMMAND [options]')
    .version(espalierVersion())
    .exitOverride()
    // What commander would write to standard error comes back as an exception and is told in one line.
    .configureOutput({ writeOut: (text) => context.stdout.write(text), writeErr: () => {} })
    .addHelpText('after', EXAMPLES);
  const [first = ''] = words;
  const isHelp = !Object.hasOwn(COMMANDS, first) && words.some((word) => HELP_WORDS.includes(word));
  for (const [name, load] of Object.entries(COMMANDS)) {
    if (isHelp || name === first) (await load())(program, context);
    else program.command(name);
  }
  addProcessCommands(program);
  return program;
}

const WRONG_VALUE = /^option '(--[a-z-]+) <[^>]*>' argument '(.*)' is invalid\. (.*)$/s;
const TOO_MANY = /^too many arguments for '(.*)'\. Expected (\d+) arguments? but got (\d+)\.$/;

/** "error: unknown option '--buget'\n(Did you mean --budget?)" → "unknown option '--buget'; did you mean --budget". */
function usageError(error: CommanderError, words: readonly string[]): EspalierError {
  const names = [...Object.keys(COMMANDS), ...PROCESSES];
  const [command = ''] = words;
  const action = `see \`espalier ${names.includes(command) ? `${command} ` : ''}--help\``;
  const message =
    error.code === 'commander.help'
      ? `no command given, expected ${names.slice(0, -1).join(', ')} or ${names.at(-1)}`
      : error.message
          .replace(/^error: /, '')
          .replace(/\n\(Did (you mean [^)?]*)\?\)/, '; did $1')
          .replace(WRONG_VALUE, '$1: got $2, $3')
          .replace(TOO_MANY, 'got $3 arguments without a flag, expected $2');
  return new EspalierError('usage', message, { action });
}
