// The project's real models and what is known of them. They lie beside the project, not in it, and so do their data sets; a
// folder of both is named by ESPALIER_TEST_MODELS: models/NAME and data/NAME/{train,dev}.jsonl.
import { existsSync } from 'node:fs';
import path from 'node:path';
import type { TestContext } from 'node:test';
import { projectRoot } from '../../shared/project-root.ts';

export interface KnownModel {
  readonly model: string;
  readonly data: string;
  readonly metric: string;
  readonly score: number;
  /** Half a unit of the last digit known, and room for a few rows on the edge: the weights are float16, and how the
   * scores were first computed is not known. Spans of answers have more ties. */
  readonly tolerance: number;
  readonly slow?: true;
}

export const REAL_MODELS: readonly KnownModel[] = [
  { model: 'mini-sst2', data: 'sst2', metric: 'accuracy', score: 0.8532, tolerance: 0.002 },
  { model: 'mini-mrpc', data: 'mrpc', metric: 'accuracy', score: 0.7059, tolerance: 0.002 },
  { model: 'mini-stsb', data: 'stsb', metric: 'spearman', score: 0.7455, tolerance: 0.002 },
  { model: 'mini-mnli', data: 'mnli', metric: 'accuracy', score: 0.5943, tolerance: 0.002, slow: true },
  { model: 'mini-squad', data: 'squad', metric: 'f1', score: 0.4386, tolerance: 0.01, slow: true },
  { model: 'distil-sst2', data: 'sst2', metric: 'accuracy', score: 0.8188, tolerance: 0.002 },
  { model: 'small-sst2', data: 'sst2', metric: 'accuracy', score: 0.8372, tolerance: 0.002 },
];

const folder = path.resolve(process.env.ESPALIER_TEST_MODELS || path.join(projectRoot(), '../shared'));

export const modelFolder = (model: string) => path.join(folder, 'models', model);
export const dataFile = (data: string, split: 'train' | 'dev') => path.join(folder, 'data', data, `${split}.jsonl`);

/** Skips the test, with the reason, where its files are not there. */
export function isMissing(t: TestContext, ...files: string[]): boolean {
  const missing = files.find((file) => !existsSync(file));
  if (missing !== undefined) t.skip(`${path.relative(projectRoot(), missing)} is not there`);
  return missing !== undefined;
}
