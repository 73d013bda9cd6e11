// espalier profile: how long a model's sub-layers take by what they keep, on this machine.
import type { Command } from 'commander';
import type { LatencyProfile } from '../../coordinator/profile-job.ts';
import { addOutputOptions, addTimingOptions, addValue, addWorkerOptions, rawFlags } from '../command-options.ts';
import { type CliContext, withProgress } from '../context.ts';
import { parseProfile } from '../parse-profile.ts';
import { counted, formatLatency } from '../quantities.ts';
import { alignColumns, type Emphasis, emphasisFor } from '../tables.ts';

const EXAMPLES = `
Examples:
  espalier profile ./bert-sst2 --batch-size 8 --length 128
  espalier profile ./bert-sst2 --runtime engine --batch-size 1 --length 32 --out table.json
`;

export function addProfileCommand(program: Command, context: CliContext): void {
  const command = program
    .command('profile')
    .summary('measure what budgets of time are searched by')
    .description('Measures how long the sub-layers of a model take by the heads and neurons that they keep.')
    .usage('MODEL [options]')
    .argument('[MODEL]', 'folder with config.json and model.safetensors');
  addTimingOptions(command, false);
  addValue(command, '--out <file>', 'file to write the table to (default: it is kept for later runs alone)');
  command.option('--again', 'measure again where there is a table of an earlier run');
  addWorkerOptions(command);
  addOutputOptions(command);
  command.addHelpText('after', EXAMPLES);
  command.action((model: string | undefined) => runProfile(model, command, context));
}

async function runProfile(model: string | undefined, command: Command, context: CliContext): Promise<void> {
  const { settings, output } = parseProfile(model, rawFlags(command), context.env);
  const profile = await withProgress(context, output, (job) => context.jobs.profile(settings, job));
  context.stdout.write(
    output.json
      ? `${JSON.stringify(profile.table, null, 2)}\n`
      : renderProfile(profile, emphasisFor(context.stdout, context.env)),
  );
}

/** One row a count: heads beside neurons, of one layer. */
export function renderProfile({ table, denseSeconds, source }: LatencyProfile, emphasis: Emphasis): string {
  const { attentionSeconds, ffnSeconds, restSeconds, model, runtime, threads, device, batchSize, tokens } = table;
  const rows = Array.from({ length: Math.max(attentionSeconds.length, ffnSeconds.length) }, (_, i) => [
    ...(i < attentionSeconds.length ? [String(i), formatLatency(attentionSeconds[i])] : ['', '']),
    ...(i < ffnSeconds.length ? [String(ffnSeconds[i].neurons), formatLatency(ffnSeconds[i].seconds)] : ['', '']),
  ]);
  const how = source === 'cached' ? 'measured by an earlier run' : 'measured now';
  return [
    alignColumns([['heads', 'attention', 'neurons', 'FFN'], ...rows], emphasis),
    `of one of ${model.layers} layers; the rest ${formatLatency(restSeconds)}, all ${formatLatency(denseSeconds)}`,
    `${runtime}, ${counted(threads, 'thread')}, ${batchSize} x ${tokens} tokens, ${device}; ${how}`,
    '',
  ].join('\n');
}
