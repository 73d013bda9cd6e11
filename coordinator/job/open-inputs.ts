// Everything that a job reads, checked before any long work starts: model, tokenizer, data.
import { assertFiniteWeights } from '../../checkpoint/assert-finite.ts';
import { type CheckpointDigest, digestCheckpoint } from '../../checkpoint/digest-checkpoint.ts';
import { type Checkpoint, openCheckpoint } from '../../checkpoint/open-checkpoint.ts';
import { type Dataset, type EncodedDataset, loadDataset } from '../../dataset/load-dataset.ts';
import { checkMetric } from '../../dataset/metrics.ts';
import { loadTextTokenizer, type TextTokenizer } from '../../dataset/text-tokenizer.ts';
import { EspalierError } from '../../shared/errors.ts';
import type { Releases } from '../../shared/lifecycle.ts';
import type { ColumnSettings } from '../prune-settings.ts';
import type { Evaluation } from './job-context.ts';

export interface ModelInput {
  readonly checkpoint: Checkpoint;
  readonly digest: CheckpointDigest;
  readonly tokenizer: TextTokenizer;
}

export interface DataSettings {
  readonly columns: ColumnSettings;
  readonly maxLength: number | null;
  readonly stride: number;
}

/** Evaluation data with all that was read of it. */
export interface LoadedEvaluation extends Evaluation {
  readonly encoded: EncodedDataset;
}

/** What need not be read of a model once more. */
export interface KnownWeights {
  /** SHA-256 of files by name. */
  readonly digests: ReadonlyMap<string, string>;
  /** Models, by digest, whose weights are known to be finite. */
  readonly finite: ReadonlySet<string>;
}

const NONE_KNOWN: KnownWeights = { digests: new Map(), finite: new Set() };

/** Opens a model; `releases` closes it. @throws EspalierError for anything that is wrong with it. */
export async function openModel(
  directory: string,
  releases: Releases,
  known: KnownWeights = NONE_KNOWN,
): Promise<ModelInput> {
  const checkpoint = await openCheckpoint(directory);
  releases.add(() => checkpoint.close());
  const digest = await digestCheckpoint(checkpoint, known.digests);
  if (!known.finite.has(digest.digest)) await assertFiniteWeights(checkpoint);
  const tokenizer = await loadTextTokenizer(directory, checkpoint.config);
  return { checkpoint, digest, tokenizer };
}

/** @param name what the user calls the model. @throws EspalierError "model_unsupported" for a model that is pruned. */
export function requireDense({ checkpoint }: Pick<ModelInput, 'checkpoint'>, name: string): void {
  if (checkpoint.config.raw.espalier === undefined) return;
  throw new EspalierError('model_unsupported', `${name}: got a model that is already pruned, expected a dense one`, {
    action: 'give the model that it was made from',
  });
}

/** Reads a data file for a model and checks every row. */
export function openData(
  path: string,
  { checkpoint, tokenizer }: ModelInput,
  settings: DataSettings,
  requireLabels: boolean,
): Promise<Dataset> {
  const { columns, maxLength, stride } = settings;
  return loadDataset({
    path,
    columns,
    config: checkpoint.config,
    tokenizer,
    maxTokens: maxLength,
    stride,
    requireLabels,
  });
}

/** Reads the data that quality is measured on, all of it. */
export async function openEvaluation(
  path: string,
  model: ModelInput,
  settings: DataSettings & { metric: string | null },
): Promise<LoadedEvaluation> {
  checkMetric(model.checkpoint.config.task, settings.metric);
  const dataset = await openData(path, model, settings, true);
  return { dataset, encoded: dataset.encode(null), metric: settings.metric };
}
