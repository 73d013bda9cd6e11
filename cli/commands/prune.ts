// espalier prune: a checkpoint, samples and budgets in; smaller models and their reports out.
import type { Command } from 'commander';
import { GRADUAL_SETTINGS } from '../../coordinator/gradual-settings.ts';
import { DEFAULT_METHOD } from '../../coordinator/prune-settings.ts';
import { EspalierError, toEspalierError } from '../../shared/errors.ts';
import {
  addDataOptions,
  addOptionalValue,
  addOutputOptions,
  addTimingOptions,
  addValue,
  addWorkerOptions,
  rawFlags,
} from '../command-options.ts';
import { type CliContext, withProgress } from '../context.ts';
import { refuseLinkedInputs } from '../output-inputs.ts';
import { parsePrune } from '../parse-prune.ts';
import { emphasisFor, renderPruneReports } from '../tables.ts';

const EXAMPLES = `
Examples:
  espalier prune ./bert-sst2 --data train.jsonl --budget 0.5 --out ./pruned
  espalier prune ./bert-sst2 --data train.jsonl --eval dev.jsonl --budget 0.4,0.6,0.8 --out ./pruned
  espalier prune ./bert-sst2 --data train.jsonl --max-drop 0.01 --out ./pruned
  espalier prune ./bert-sst2 --data train.jsonl --latency 0.6 --batch-size 8 --length 128 --out ./pruned
  espalier prune ./bert-squad --data train.jsonl --eval dev.jsonl --budget 0.6 --out ./pruned --resume
`;

export function addPruneCommand(program: Command, context: CliContext): void {
  const command = program
    .command('prune')
    .summary('make smaller models of a fine-tuned one')
    .description('Prunes a fine-tuned transformer to one or more budgets, with no training.')
    .usage('MODEL --data FILE --budget FRACTION --out DIR [options]')
    .argument('[MODEL]', 'folder with config.json, model.safetensors and tokenizer.json');
  addValue(command, '--data <file>', 'calibration samples: .jsonl, .csv or .tsv');
  addValue(command, '--eval <file>', 'held-out samples to measure quality on (default: none is measured)');
  addValue(command, '--budget <fraction>', "share of the encoder's MACs to keep, in (0, 1); 0.4,0.6 or repeat it");
  addValue(command, '--max-drop <loss>', 'the smallest model that loses at most this much of the metric, such as 0.01');
  addValue(
    command,
    '--max-drop-confidence <level>',
    'of the loss being within, 0.5 to 0.99 (default: its estimate is)',
  );
  addValue(command, '--latency <fraction>', "share of the dense model's time to keep, in (0, 1); 0.4,0.6 or repeat it");
  addValue(command, '--latency-ms <ms>', 'milliseconds that a batch may take; 12,20 or repeat it');
  command.option('--fastest', 'with --max-drop: the fastest model that loses no more, not the smallest');
  addValue(command, '--latency-table <file>', 'of espalier profile on the target machine (default: measured here)');
  command.option('--other-machine', 'that table is of another machine, which the model is for');
  addValue(command, '--out <dir>', 'folder to write; each budget gets a folder in it');
  command.option('--force', 'replace the output folder if it is there');
  command.option('--resume', 'go on from where an interrupted run of the same settings stopped');
  addValue(
    command,
    '--method <name>',
    `gradual, paper, or its stages rearrange or search (default: ${DEFAULT_METHOD})`,
  );
  addValue(command, '--search <kind>', 'of what to keep: paper or knapsack (default: paper)');
  addValue(command, '--neuron-multiple <n>', 'keep neurons in multiples of 8, 16, 32 or 64 (default: 1)');
  command.option('--uniform', 'all layers alike: models that transformers opens as they are');
  addValue(command, '--damping <kind>', 'of the tuning solves: ridge or reference (default: ridge)');
  for (const { flag, values, means } of Object.values(GRADUAL_SETTINGS))
    addValue(command, `--${flag} <kind>`, `${means}: ${values.join(' or ')} (default: ${values[0]})`);
  addValue(command, '--seed <n>', 'of the draw of samples (default: 0)');
  addValue(command, '--samples <n>', 'calibration samples to draw (default: 2048)');
  command.option('--replacement', 'draw samples with replacement');
  addValue(command, '--fisher-group <n>', 'samples a Fisher row (default: 12 for question answering, else 32)');
  addValue(command, '--labels <source>', "data, or model for the model's own answers (default: data)");
  addValue(command, '--macs-length <tokens>', 'length to count MACs at (default: mean of the drawn samples)');
  addValue(command, '--dtype <type>', 'of the written weights: float32, float16 or bfloat16 (default: as read)');
  addOptionalValue(command, '--onnx [type]', 'write model.onnx too: float32 (also without a type) or float16');
  addTimingOptions(command, true);
  addDataOptions(command);
  addWorkerOptions(command);
  addOutputOptions(command);
  command.addHelpText('after', EXAMPLES);
  command.action((model: string | undefined) => runPrune(model, command, context));
}

async function runPrune(model: string | undefined, command: Command, context: CliContext): Promise<void> {
  const { settings, output } = parsePrune(model, rawFlags(command), context.cwd, context.env);
  await refuseLinkedInputs(settings, context.cwd);
  const reports = await withProgress(context, output, (job) => context.jobs.prune(settings, job)).catch(
    async (caught: unknown) => {
      throw await withResumeHint(toEspalierError(caught), settings.out);
    },
  );
  const budgets = settings.budgets.map(({ text }) => text);
  context.stdout.write(
    output.json
      ? `${JSON.stringify({ runs: reports }, null, 2)}\n`
      : renderPruneReports(reports, budgets, settings.out, emphasisFor(context.stdout, context.env)),
  );
}

/** An interrupted run says how to go on: with --resume where it has stored something, else from the start. */
async function withResumeHint(error: EspalierError, out: string): Promise<EspalierError> {
  if (error.code !== 'cancelled') return error;
  const { hasRunState } = await import('../../coordinator/store/run-folder.ts');
  const resumable = await hasRunState(out).catch(() => false);
  const action = resumable ? 'run the same command with --resume to go on from here' : 'run the same command again';
  return new EspalierError('cancelled', error.message, { action, cause: error });
}
