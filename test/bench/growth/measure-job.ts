// One point of a curve: the model and samples, then the job in a process of its own.
import { rm } from 'node:fs/promises';
import path from 'node:path';
import { runChild } from '../gpu/child.ts';
import { type LengthDistribution, writeSyntheticModel, writeTexts } from '../synthetic-model.ts';
import type { GrowthJob } from './axes.ts';
import type { Axis, CurvePoint } from './figures.ts';

export interface JobStart {
  readonly model: string;
  readonly data: string;
  readonly out: string;
  readonly samples: number;
  readonly workers: number;
  readonly device: string;
}

const SEED = 1;
const DEVIATION = 0.3;
const LEAST_TOKENS = 8;

/** Half as long to twice as long as the mean. */
function lengthsOf(tokens: number): LengthDistribution {
  const mean = Math.log(tokens) - DEVIATION ** 2 / 2;
  return { mean, deviation: DEVIATION, least: Math.max(LEAST_TOKENS, tokens / 2), most: 2 * tokens };
}

export async function measureJob(axis: Axis, job: GrowthJob, device: string, folder: string): Promise<CurvePoint> {
  const { model, samples, tokens, workers } = job;
  const at = (name: string) => path.join(folder, name);
  await writeSyntheticModel(at('model'), model, SEED);
  await writeTexts(at('samples.jsonl'), samples, SEED, lengthsOf(tokens));
  const start = { model: at('model'), data: at('samples.jsonl'), out: at('out'), samples, workers, device };
  const found = await runChild<JobStart, Omit<CurvePoint, 'x'>>('../growth/job-child.js', start);
  for (const made of ['out', 'out-cache']) await rm(at(made), { recursive: true });
  const x = { samples, tokens, workers, layers: model.layers, simulated: workers }[axis];
  return { x, ...found };
}
