// README.md of one pruned model: a model card in the form of the Hugging Face Hub. Every number is one of report.json.
import type { PruneReport } from '../prune-report.ts';
import { lastStage } from '../prune-settings.ts';
import { LEAST_SHARE_OF_OUTPUTS } from '../step-settings.ts';
import { shownTime, tableSource } from './asked-time.ts';
import { loadingSections } from './card-loading.ts';
import { type CardFacts, cardMetadata, isOnnx, metricNames } from './card-metadata.ts';
import { commandLines } from './command-words.ts';
import { showBytes, showCount, showMilliseconds, showNumber, showRatio, showScore, showShare } from './figures.ts';
import { escapeText } from './html.ts';
import { macsShare, runtimeName, timedPasses } from './reported-job.ts';

export const CARD_FILE = 'README.md';

/** @param budget of the folder. @param files names of those beside the card: what it tells to load is among them. */
export function modelCard(report: PruneReport, budget: string, files: readonly string[]): string {
  const facts: CardFacts = { report, budget, files, isUniform: report.uniform === true };
  return plain(
    [
      cardMetadata(facts),
      `# ${inline(report.model.name)}, pruned to ${inline(budget)}`,
      introduction(report),
      `## Size\n\n${table([['', 'dense', 'pruned', 'kept'], ...sizes(report)])}`,
      quality(report),
      speed(report),
      `## Loading\n\n${loadingSections(facts)}`,
      limits(facts),
      reproduction(report),
    ].join('\n\n'),
  );
}

function introduction(report: PruneReport): string {
  const { model, task, samples, method } = report;
  const paper = 'The method follows [Kwon et al. 2022](https://arxiv.org/abs/2204.09656).';
  const found = `what stays was found in ${showSteps(report)} from gradients (diagonal Fisher information),`;
  const gradual = {
    scales: `${found} and\nscaled to the dense model's outputs by least squares in each`,
    weights: `${found} with a refit of the output\nprojections to the dense model's outputs (ridge regression) after each`,
    'all-weights': `${found} with a refit of the projections\nof each layer to what the dense model's make (ridge regression) after each`,
    'by-share': `${found} with a refit of the output\nprojections, in steps below ${LEAST_SHARE_OF_OUTPUTS} of the cost of all projections, to what the dense model's make\n(ridge regression) after each`,
  }[report.gradual?.refit ?? 'weights'];
  const { how, follows } = {
    search: { how: 'what stays was found from gradients (diagonal Fisher information)', follows: paper },
    rearrange: {
      how: 'what stays was found from gradients (Fisher information, with its cross terms)',
      follows: paper,
    },
    paper: {
      how: 'what stays was found from gradients (Fisher information) and scaled by least squares',
      follows: paper,
    },
    gradual: { how: gradual, follows: 'The search is that of [Kwon et al. 2022](https://arxiv.org/abs/2204.09656).' },
  }[method];
  return [
    `A ${inline(model.type)} model for ${inline(task.replaceAll('-', ' '))}, made smaller from ${inline(model.name)} by Espalier`,
    `${inline(report.espalier)} without any training: whole attention heads and FFN neurons are gone,`,
    `and ${how}, on ${samples} calibration samples.`,
    follows,
    `It keeps ${showShare(macsShare(report))} of the encoder's multiply-accumulates (MACs).`,
    ...divergence(report),
    ...timeBudget(report),
    ...allowedLoss(report),
  ].join('\n');
}

function showSteps({ steps = [] }: PruneReport): string {
  return steps.length === 1 ? 'one step' : `${steps.length} steps`;
}

/** Of the last step, where one was measured. */
function divergence({ steps = [], task }: PruneReport): string[] {
  const last = steps.at(-1)?.divergence ?? null;
  if (last === null) return [];
  const what = task === 'regression' ? 'a mean squared difference' : 'a mean Kullback-Leibler divergence in nats';
  return [
    `On calibration samples that judged the refits its outputs differ from the dense model's by ${showNumber(last)},`,
    `${what}.`,
  ];
}

/** What a budget of time asked for, and what came of it. */
function timeBudget({ latencyBudget: found }: PruneReport): string[] {
  if (found === undefined) return [];
  const { kind, runtime, batchSize, tokens, table, measuredByGoal, met, tolerance } = found;
  const asked = `${shownTime(found, 1)}${kind === 'latency' ? " of the dense model's time" : ''}`;
  const threads = `${table.threads} ${table.threads === 1 ? 'thread' : 'threads'}`;
  const within = `within ${Number((tolerance * 100).toPrecision(3))} % of that`;
  const verdict = { true: `, ${within}`, false: `, not ${within}`, null: '' }[String(met) as 'true' | 'false' | 'null'];
  const measured = measuredByGoal === null ? 'it was not measured' : `measured: ${shownTime(found, measuredByGoal)}`;
  return [
    `It was to take ${asked} for ${batchSize} × ${tokens} tokens in ${inline(runtimeName(runtime))} with ${threads}; ${measured}${verdict}.`,
    inline(tableSource(found)),
  ];
}

/** What the model was allowed to lose, and what it lost. */
function allowedLoss({ maxDrop }: PruneReport): string[] {
  if (maxDrop === undefined) return [];
  const { allowed, metric, decidedBy, heldOut, written, boundConfidence } = maxDrop;
  return [
    `It was to lose at most ${allowed} of ${inline(metric)}, by the ${decidedBy} of the loss: ${showScore(written.drop)} on ${heldOut.examples} held-out`,
    `calibration samples, at most ${showScore(written.bound)} with a confidence of ${boundConfidence}; ${written.within ? 'it keeps to it' : 'it does not keep to it'}.`,
  ];
}

function sizes({ macs, macsLength, parameters, bytes, heads, neurons, denseLayer }: PruneReport): string[][] {
  const row = (name: string, dense: number, pruned: number, show: (value: number) => string) => [
    ...[name, show(dense), show(pruned), showShare(pruned / dense)],
  ];
  const layered = (name: string, kept: readonly number[], dense: number | undefined) =>
    dense === undefined ? [] : [row(name, dense * kept.length, sum(kept), String)];
  return [
    row(`MACs of the encoder at ${showCount(macsLength)} tokens`, macs.dense, macs.pruned, showCount),
    row('parameters', parameters.dense, parameters.pruned, showCount),
    row('weight files', bytes.dense, bytes.pruned, showBytes),
    ...layered('attention heads', heads, denseLayer?.heads),
    ...layered('FFN neurons', neurons, denseLayer?.neurons),
  ];
}

function quality(report: PruneReport): string {
  const { evaluation, scores } = report;
  const stage = lastStage(report.method);
  if (evaluation === null || scores[stage] === undefined) return '## Quality\n\nNot measured.';
  const onnx = report.onnx?.scores ?? null;
  const rows = metricNames(report).map((metric) => [
    metric,
    showScore(scores.dense?.[metric] ?? null),
    showScore(scores[stage][metric]),
    ...(onnx === null ? [] : [showScore(onnx[metric] ?? null)]),
  ]);
  const name = evaluation.name === undefined ? '' : ` of ${inline(evaluation.name)}`;
  return `## Quality

On all ${evaluation.rows} rows${name}, which took no part in the pruning; measured on the files of this folder.

${table([['', 'dense', 'pruned', ...(onnx === null ? [] : ['pruned, in ONNX Runtime'])], ...rows])}`;
}

function speed(report: PruneReport): string {
  const passes = timedPasses(report);
  if (passes.length === 0) return '## Speed\n\nNot measured.';
  const rows = passes.map(({ setting, dense, pruned }) => [
    ...[setting, showTime(dense), showTime(pruned), showRatio(dense.median / pruned.median)],
  ]);
  return `## Speed

Median time of a forward pass, dense and pruned in turn in one process on ${inline(deviceOf(report))}; in brackets the 10th and
90th percentile, where they were measured.

${table([['', 'dense', 'pruned', 'speed-up'], ...rows])}`;
}

function showTime({ median, p10, p90 }: { median: number; p10: number | null; p90: number | null }): string {
  const spread = p10 === null || p90 === null ? '' : ` (${showMilliseconds(p10)} to ${showMilliseconds(p90)})`;
  return `${showMilliseconds(median)}${spread}`;
}

function deviceOf({ speed = [], deviceClass }: Partial<PruneReport>): string {
  const machines = new Set(speed.map(({ machine }) => machine));
  return machines.size > 0 ? [...machines].join(' and ') : String(deviceClass?.model ?? 'one machine');
}

function limits({ report, isUniform, files }: CardFacts): string {
  const points = [
    `It does what ${inline(report.model.name)} does, with its biases and its limits; nothing was added.`,
    'Embeddings and the head of the task are as they were.',
    ...(isUniform
      ? []
      : ['Layers keep different numbers of heads and neurons, which the classes of `transformers` do not expect.']),
    ...(files.some(isOnnx) ? [] : ['There is no ONNX file beside it.']),
    ...(report.evaluation === null ? ['Its quality was not measured: measure it before using it.'] : []),
    'Times are those of one machine, batch size and length: measure on yours.',
  ];
  return `## Limits\n\n${points.map((point) => `- ${point}`).join('\n')}`;
}

function reproduction(report: PruneReport): string {
  const digests = [
    ['model', report.model.digest],
    ['calibration data', report.data.digest],
    ...(report.evaluation === null ? [] : [['evaluation data', report.evaluation.digest]]),
    ['plan of samples and batches', report.plan],
    ['model.safetensors of this folder', report.digest],
    ...(report.onnx?.files ?? []).map(({ name, sha256 }) => [`${name} of this folder`, sha256]),
  ];
  const command =
    report.command === undefined
      ? ''
      : `With Espalier ${inline(report.espalier)} and the same files under these names:

${fenced(commandLines(report.command), 'sh')}

`;
  return `## How to reproduce it

${command}On workers of the same device class (${inline(classOf(report))}) the weights come out the same to the bit.

${table([['', 'SHA-256'], ...digests.map(([name, digest]) => [name, inline(digest)])])}

\`report.json\` has every setting, the heads and neurons kept in each layer, and how ${report.method === 'gradual' ? 'each step and the refit of each sub-layer' : 'the tuning of each'} went.
`;
}

function classOf({ deviceClass }: PruneReport): string {
  return Object.entries(deviceClass)
    .map(([name, value]) => `${name} ${value}`)
    .join(', ');
}

function table([head, ...rows]: readonly (readonly string[])[]): string {
  const line = (cells: readonly string[]) => `| ${cells.join(' | ')} |`;
  return [line(head), line(head.map((_, column) => (column === 0 ? '---' : '---:'))), ...rows.map(line)].join('\n');
}

function sum(values: readonly number[]): number {
  return values.reduce((total, value) => total + value, 0);
}

/** What a user or a file calls something, as text that Markdown and HTML take for nothing else. Not for code, which takes no
 * entities. */
function inline(text: string): string {
  return escapeText(text).replace(MARKUP, (character) => `&#${character.charCodeAt(0)};`);
}

/** Underscores within words are no markup. */
const MARKUP = /[\n`|[\]*\\~#]|(?<![A-Za-z0-9])_|_(?![A-Za-z0-9])/g;

/** Code in a fence that nothing in it ends. */
function fenced(code: string, language: string): string {
  const runs = [...code.matchAll(/`+/g)].map(([run]) => run.length);
  const fence = '`'.repeat(Math.max(2, ...runs) + 1);
  return `${fence}${language}\n${code}\n${fence}`;
}

/** Numbers may be broken before their unit here: a file that is read as it is written. */
function plain(text: string): string {
  return text.replaceAll('\u00a0', ' ');
}
