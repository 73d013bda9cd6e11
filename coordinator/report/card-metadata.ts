// The front matter of a model card, as the Hugging Face Hub reads it.
import { stringify } from 'yaml';
import type { PruneReport } from '../prune-report.ts';
import { lastStage } from '../prune-settings.ts';
import { finalQuality } from './reported-job.ts';

const PIPELINES: Readonly<Record<string, string>> = {
  'single-label-classification': 'text-classification',
  'multi-label-classification': 'text-classification',
  regression: 'text-classification',
  'token-classification': 'token-classification',
  'question-answering': 'question-answering',
};
/** What the Hub takes for the name of a model. */
const MODEL_ID = /^[A-Za-z0-9][\w.-]*(\/[\w.-]+)?$/;

export interface CardFacts {
  readonly report: PruneReport;
  /** Of the budget's folder. */
  readonly budget: string;
  /** Names of the files beside the card. */
  readonly files: readonly string[];
  /** Whether transformers' own classes load it. */
  readonly isUniform: boolean;
}

/** YAML between its two lines of dashes. What was not measured is left out. */
export function cardMetadata(facts: CardFacts): string {
  const { report, files, isUniform } = facts;
  const pipeline = PIPELINES[report.task];
  const metadata = {
    ...(MODEL_ID.test(report.model.name) && { base_model: report.model.name }),
    library_name: isUniform ? 'transformers' : 'espalier',
    ...(pipeline !== undefined && { pipeline_tag: pipeline }),
    tags: ['espalier', 'pruned', report.model.type, ...(files.some(isOnnx) ? ['onnx'] : [])],
    ...(finalQuality(report) !== null && {
      metrics: metricNames(report),
      'model-index': [modelIndex(facts, pipeline)],
    }),
  };
  return `---\n${stringify(metadata, { lineWidth: 0 })}---\n`;
}

export function isOnnx(name: string): boolean {
  return name.endsWith('.onnx');
}

/** Names of what was measured, the one that is reported first in front. */
export function metricNames({ scores, metric, method }: PruneReport): string[] {
  const names = Object.keys(scores[lastStage(method)] ?? {}).sort();
  return names.sort((a, b) => Number(b === metric) - Number(a === metric));
}

function modelIndex({ report, budget }: CardFacts, pipeline: string | undefined): object {
  const { model, evaluation, scores, method, task } = report;
  const name = evaluation?.name ?? 'evaluation samples';
  return {
    name: `${model.name}-${budget}`,
    results: [
      {
        task: { type: pipeline ?? task },
        dataset: { name, type: name.replaceAll(/[^\w./-]+/g, '-') },
        metrics: metricNames(report).map((metric) => ({
          ...{ type: metric, value: scores[lastStage(method)][metric], name: metric },
        })),
      },
    ],
  };
}
