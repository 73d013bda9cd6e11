// The two workloads: what a model of BERT-base's shape (or a smaller one) prunes on.
import path from 'node:path';
import {
  MNLI_LENGTHS,
  SQUAD_LENGTHS,
  type SyntheticModel,
  writeQuestions,
  writeSyntheticModel,
  writeTexts,
} from '../synthetic-model.ts';
import type { WorkloadDefinition } from './figures.ts';

export const WORKLOADS = ['mnli-like', 'squad-like'] as const;
export type WorkloadName = (typeof WORKLOADS)[number];

const SEED = 1;
const BUDGET = 0.6;

/** A workload on disk. */
export interface WorkloadFiles {
  readonly definition: WorkloadDefinition;
  /** Folder of the model. */
  readonly model: string;
  readonly data: string;
}

/** "mnli-like" classifies single texts, "squad-like" finds answers, whose head reads every token. */
export function workloadDefinition(
  name: WorkloadName,
  sizes: Omit<SyntheticModel, 'head'>,
  samples: number,
): WorkloadDefinition {
  const isQuestions = name === 'squad-like';
  return {
    name,
    model: { ...sizes, head: isQuestions ? 'QuestionAnswering' : 'SequenceClassification' },
    lengths: isQuestions ? SQUAD_LENGTHS : MNLI_LENGTHS,
    ...{ samples, seed: SEED, budget: BUDGET },
  };
}

export async function writeWorkload(folder: string, definition: WorkloadDefinition): Promise<WorkloadFiles> {
  const model = path.join(folder, `${definition.name}-model`);
  const data = path.join(folder, `${definition.name}.jsonl`);
  await writeSyntheticModel(model, definition.model, definition.seed);
  const write = definition.model.head === 'QuestionAnswering' ? writeQuestions : writeTexts;
  await write(data, definition.samples, definition.seed);
  return { definition, model, data };
}
