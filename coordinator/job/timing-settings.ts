// How speed is measured: in what, with which batches. What users give, its usual values and its limits.
import type { ModelConfig } from '../../checkpoint/model-config.ts';
import { type Plan, planTokens } from '../../dataset/plan.ts';
import { EspalierError } from '../../shared/errors.ts';
import type { TimingSettings } from '../prune-settings.ts';
import type { PassShape } from './time-models.ts';

export const USUAL_TIMING: TimingSettings = { runtime: 'onnxruntime', batchSizes: [8], lengths: [], threads: 0 };

/** Most tokens of a batch that a worker times. */
export const MOST_BATCH_TOKENS = 65536;
export const MOST_SHAPES = 16;
export const MOST_THREADS = 1024;

/** As users write them. */
type TimingName = 'batch-size' | 'length' | 'threads';

/** What is wrong with settings, by their names; empty: nothing. */
export function timingProblems(timing: TimingSettings): { readonly name: TimingName; readonly text: string }[] {
  const { batchSizes, lengths, threads } = timing;
  const problems: { name: TimingName; text: string }[] = [];
  for (const [name, values] of [
    ['batch-size', batchSizes],
    ['length', lengths],
  ] as const) {
    for (const value of values)
      if (!(Number.isInteger(value) && value >= 1 && value <= MOST_BATCH_TOKENS))
        problems.push({ name, text: `got ${value}, expected a whole number from 1 to ${MOST_BATCH_TOKENS}` });
    if (new Set(values).size < values.length)
      problems.push({ name, text: `got ${values.join(', ')}, expected distinct ones` });
  }
  if (batchSizes.length === 0) problems.push({ name: 'batch-size', text: 'got none, expected one at least' });
  const largest = Math.max(...batchSizes) * Math.max(1, ...lengths);
  if (problems.length === 0 && largest > MOST_BATCH_TOKENS)
    problems.push({ name: 'batch-size', text: `got ${largest} tokens a batch, expected at most ${MOST_BATCH_TOKENS}` });
  if (batchSizes.length * Math.max(1, lengths.length) > MOST_SHAPES)
    problems.push({
      name: 'batch-size',
      text: `got ${batchSizes.length} sizes and ${lengths.length} lengths, expected at most ${MOST_SHAPES} pairs`,
    });
  if (!(Number.isInteger(threads) && threads >= 0 && threads <= MOST_THREADS))
    problems.push({ name: 'threads', text: `got ${threads}, expected a whole number from 1 to ${MOST_THREADS}` });
  return problems;
}

/** @throws EspalierError "usage" for lengths that the model has no positions for. */
export function requireLengths({ lengths }: TimingSettings, { maxTokens }: Pick<ModelConfig, 'maxTokens'>): void {
  const long = lengths.filter((length) => length > maxTokens);
  if (long.length > 0)
    throw new EspalierError(
      'usage',
      `length: got ${long.join(', ')}, expected at most ${maxTokens} tokens, the model's longest input`,
    );
}

/** Mean unpadded length of a plan's samples, rounded. */
export function meanTokens(plan: Plan): number {
  return Math.round(planTokens(plan) / plan.samples.length);
}

/** Every batch size with every length, the first of each first. @param mean length where none was given. */
export function passShapes(
  { batchSizes, lengths }: TimingSettings,
  { maxTokens }: Pick<ModelConfig, 'maxTokens'>,
  mean: number,
): PassShape[] {
  const all = lengths.length > 0 ? lengths : [Math.max(1, Math.min(maxTokens, mean))];
  return batchSizes.flatMap((batchSize) => all.map((tokens) => ({ batchSize, tokens })));
}

/** What budgets of time depend on. */
export function budgetTiming({ runtime, batchSizes, lengths, threads }: TimingSettings) {
  return { runtime, threads, batchSize: batchSizes[0], tokens: lengths[0] ?? null };
}
