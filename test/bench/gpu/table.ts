// The figures as a person reads them.
import { timesAsFast } from './baseline.ts';
import {
  type CallFigures,
  type Limits,
  type RunFigures,
  reached,
  type StageFigures,
  type StageProfile,
  type WorkloadFigures,
} from './figures.ts';

export function machineText({ machine, deviceClass, limits }: Omit<RunFigures, 'workloads'>): string {
  const { kind, intraOpThreads, tf32, tensorflowVersion, kernels, memoryGb } = deviceClass;
  const how = kind === 'gpu' ? `TF32 ${tf32 ? 'on' : 'off'}` : `threads of an operation: ${intraOpThreads}`;
  const { product, copy } = limits;
  return [
    `${machine}: ${kind}, ${how}, TensorFlow ${tensorflowVersion}, ${kernels} kernels${memoryGb > 0 ? `, plans for ${memoryGb} GB` : ''}`,
    `its limits: a product of ${product.size} x ${product.size} ${digits(product.teraflopPerSecond)} TFLOP/s, a copy of ${digits(copy.bytes / 1e9)} GB ${digits(copy.terabytesPerSecond)} TB/s read and written`,
  ].join('\n');
}

export function workloadText(workload: WorkloadFigures, options: TableOptions): string {
  const { definition, tokens, paddedTokens, shards, microBatches, tokensPerBatch, setUp, peak, stages } = workload;
  const { layers, hiddenSize, heads, neurons, head } = definition.model;
  const gigabytes = (bytes: number | null) => (bytes === null ? 'not told' : `${digits(bytes / 1e9)} GB`);
  return [
    `${definition.name}: ${head} ${layers}x${hiddenSize}x${heads}x${neurons}, ${definition.samples} samples, budget ${definition.budget}, median of ${options.repeats}`,
    `  ${tokens} tokens, ${paddedTokens} padded, in ${microBatches} micro-batches of ${shards} shards, at most ${tokensPerBatch} a micro-batch`,
    `  set-up: engine ${digits(setUp.engineSeconds)} s, model and first shard ${digits(setUp.firstCallSeconds)} s`,
    `  peak memory: device ${gigabytes(peak.deviceBytes)}, tensors ${gigabytes(peak.tensorBytes)}, process ${gigabytes(peak.processBytes)}`,
    stagesText(definition.name, stages, options),
  ].join('\n');
}

export interface TableOptions {
  readonly repeats: number;
  readonly limits: Limits;
  readonly baseline: RunFigures | null;
}

/** Rows of a workload, a stage each. */
export function stagesText(
  workload: string,
  stages: readonly StageFigures[],
  { limits, baseline }: Pick<TableOptions, 'limits' | 'baseline'>,
): string {
  const rows = stages.map((stage) => stageRow(stage, limits, baseline && timesAsFast(workload, stage, baseline)));
  const heading = ['stage', 'seconds', 'least', 'most', 'first', 'tokens/s', 'TFLOP', 'TFLOP/s', 'of limit'];
  return columns([[...heading, ...(baseline === null ? [] : ['times as fast'])], ...rows]).join('\n');

  function stageRow(stage: StageFigures, limit: Limits, ratio: number | null): string[] {
    const { name, firstSeconds, seconds, teraflop } = stage;
    const speed = reached(stage, limit);
    return [
      name,
      ...[seconds.median, seconds.least, seconds.most, firstSeconds].map(digits),
      stage.tokens === null ? '-' : `${Math.round(stage.tokens / seconds.median)}`,
      teraflop === null ? '-' : digits(teraflop),
      speed === null ? '-' : digits(speed.teraflopPerSecond),
      speed === null ? '-' : `${(100 * speed.shareOfLimit).toFixed(1)} %`,
      ...(baseline === null ? [] : [ratio === null ? '-' : ratio.toFixed(2)]),
    ];
  }
}

/** Operations that take less than this share of a stage's calls are told together. */
const LEAST_SHARE = 0.005;
const LONGEST_NAME = 96;

export function profileText({ stage, plainSeconds, host, profiledSeconds, calls, device }: StageProfile): string {
  const asItIs = `${digits(plainSeconds)} s as it is`;
  const lines = [
    `  ${stage} by operation: ${asItIs}, ${digits(profiledSeconds)} s with a wait around each call`,
    ...callLines('operation', calls),
    `  ${stage} by call of the host: of ${asItIs} the worker's tasks take ${digits(host.taskSeconds)} s, ${digits(host.taskSeconds - secondsOf(host.calls))} s of them outside of calls`,
    ...callLines('call', host.calls),
  ];
  if (device === undefined) return lines.join('\n');
  const { busySeconds, kernels } = device;
  const busy = `  ${stage} by kernel: of ${asItIs} the device is busy for ${digits(busySeconds)} s`;
  return [...lines, busy, ...callLines('kernel', kernels)].join('\n');
}

function callLines(kind: string, calls: readonly CallFigures[]): string[] {
  const seconds = secondsOf(calls);
  const row = (name: string, figures: readonly CallFigures[]) => {
    const own = secondsOf(figures);
    const count = figures.reduce((sum, call) => sum + call.calls, 0);
    return [shortName(name), `${count}`, digits(own), `${((100 * own) / seconds).toFixed(1)} %`];
  };
  const isLarge = (call: CallFigures) => call.seconds >= LEAST_SHARE * seconds;
  const small = calls.filter((call) => !isLarge(call));
  return columns([
    [kind, 'calls', 'seconds', 'of all'],
    ...calls.filter(isLarge).map((call) => row(call.name, [call])),
    ...(small.length === 0 ? [] : [row(`${small.length} others`, small)]),
    row('all', calls),
  ]);
}

function secondsOf(calls: readonly CallFigures[]): number {
  return calls.reduce((sum, call) => sum + call.seconds, 0);
}

/** Names of kernels with their template's arguments fill lines. */
function shortName(name: string): string {
  return name.length <= LONGEST_NAME ? name : `${name.slice(0, LONGEST_NAME - 1)}…`;
}

/** Three digits that count, without an exponent. */
export function digits(value: number): string {
  if (value === 0 || !Number.isFinite(value)) return `${value}`;
  const places = Math.max(0, 2 - Math.floor(Math.log10(Math.abs(value))));
  return value.toFixed(Math.min(places, 9));
}

/** Rows as lines, the first column to the left and the others to the right. */
function columns(rows: readonly (readonly string[])[]): string[] {
  const widths = rows[0].map((_, column) => Math.max(...rows.map((row) => row[column].length)));
  return rows.map(
    (row) => `  ${row.map((cell, i) => (i === 0 ? cell.padEnd(widths[i]) : cell.padStart(widths[i]))).join('  ')}`,
  );
}
