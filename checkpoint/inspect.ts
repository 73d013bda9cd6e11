// What a model is, as plain data for people and for JSON.
import type { ModelType, TaskKind } from './model-config.ts';
import type { Checkpoint, WeightDType } from './open-checkpoint.ts';

export interface CheckpointDescription {
  readonly type: ModelType;
  readonly task: TaskKind;
  readonly layers: number;
  readonly hiddenSize: number;
  readonly headsByLayer: readonly number[];
  readonly neuronsByLayer: readonly number[];
  /** True for a model that Espalier has pruned already. */
  readonly pruned: boolean;
  /** Elements of all weights. */
  readonly parameters: number;
  /** Size of the files of weights. */
  readonly bytes: number;
  readonly dtype: WeightDType;
  readonly labels: readonly string[];
  readonly maxTokens: number;
}

/** Describes an open checkpoint; reads nothing further. */
export function inspectCheckpoint(checkpoint: Checkpoint): CheckpointDescription {
  const { config, parameters, dtype, weightFiles } = checkpoint;
  return {
    type: config.modelType,
    task: config.task,
    layers: config.layers,
    hiddenSize: config.hiddenSize,
    headsByLayer: config.headsByLayer,
    neuronsByLayer: config.neuronsByLayer,
    pruned: config.raw.espalier !== undefined,
    parameters,
    bytes: weightFiles.reduce((sum, file) => sum + file.bytes, 0),
    dtype,
    labels: config.labels,
    maxTokens: config.maxTokens,
  };
}
