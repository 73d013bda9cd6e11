// espalier evaluate: the quality of any checkpoint, dense or pruned.
import type { Command } from 'commander';
import { EspalierError, toEspalierError } from '../../shared/errors.ts';
import { addDataOptions, addOutputOptions, addValue, addWorkerOptions, rawFlags } from '../command-options.ts';
import { type CliContext, withProgress } from '../context.ts';
import { parseEvaluate } from '../parse-evaluate.ts';
import { emphasisFor, renderEvaluateReport } from '../tables.ts';

const EXAMPLES = `
Examples:
  espalier evaluate ./bert-sst2 --data dev.jsonl
  espalier evaluate ./pruned/0.5 --data dev.jsonl --json
`;

export function addEvaluateCommand(program: Command, context: CliContext): void {
  const command = program
    .command('evaluate')
    .summary('measure the quality of a checkpoint')
    .description('Measures the quality of a checkpoint, dense or pruned, on labelled samples.')
    .usage('DIR --data FILE [options]')
    .argument('[DIR]', 'folder with config.json, model.safetensors and tokenizer.json');
  addValue(command, '--data <file>', 'samples with labels: .jsonl, .csv or .tsv');
  addDataOptions(command);
  addWorkerOptions(command);
  addOutputOptions(command);
  command.addHelpText('after', EXAMPLES);
  command.action((model: string | undefined) => runEvaluate(model, command, context));
}

async function runEvaluate(model: string | undefined, command: Command, context: CliContext): Promise<void> {
  const { settings, output } = parseEvaluate(model, rawFlags(command), context.env);
  const report = await withProgress(context, output, (job) => context.jobs.evaluate(settings, job)).catch(
    (caught: unknown) => {
      const error = toEspalierError(caught);
      if (error.code !== 'cancelled') throw error;
      throw new EspalierError('cancelled', error.message, { action: 'run the same command again', cause: error });
    },
  );
  context.stdout.write(
    output.json
      ? `${JSON.stringify(report, null, 2)}\n`
      : renderEvaluateReport(report, emphasisFor(context.stdout, context.env)),
  );
}
