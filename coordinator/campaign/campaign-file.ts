// A campaign as its file says it, after the schema has passed it (campaign.schema.json, which describes every field).

import type { GradualKeys } from '../gradual-settings.ts';
import type { Method } from '../prune-settings.ts';

/** A path from the campaign file on, or one of a volume that the coordinators share. */
export type CampaignInput = string | { readonly volume: string; readonly path: string };

export interface CampaignSettings extends GradualKeys {
  readonly model?: CampaignInput;
  readonly data?: CampaignInput;
  readonly eval?: CampaignInput;
  readonly budgets?: readonly (number | string)[];
  readonly 'max-drop'?: readonly (number | string)[];
  readonly 'max-drop-confidence'?: number;
  readonly fastest?: boolean;
  readonly latency?: readonly (number | string)[];
  readonly 'latency-ms'?: readonly (number | string)[];
  readonly method?: Method;
  readonly damping?: 'ridge' | 'reference';
  readonly runtime?: 'onnxruntime' | 'engine';
  readonly 'batch-size'?: number | readonly number[];
  readonly length?: number | readonly number[];
  readonly threads?: number;
  readonly search?: 'paper' | 'knapsack';
  readonly 'neuron-multiple'?: number;
  readonly uniform?: boolean;
  readonly priority?: number;
  readonly samples?: number;
  readonly seed?: number;
  readonly replacement?: boolean;
  readonly labels?: 'data' | 'model';
  readonly 'fisher-group'?: number;
  readonly 'macs-length'?: number;
  readonly 'max-length'?: number;
  readonly stride?: number;
  readonly metric?: string;
  readonly dtype?: 'float32' | 'float16' | 'bfloat16';
  readonly onnx?: 'float32' | 'float16';
  readonly 'text-column'?: string;
  readonly 'text-pair-column'?: string;
  readonly 'label-column'?: string;
  readonly 'question-column'?: string;
  readonly 'context-column'?: string;
  readonly 'answers-column'?: string;
}

export interface CampaignFile {
  readonly name: string;
  readonly defaults?: CampaignSettings;
  readonly jobs: readonly (CampaignSettings & { readonly name?: string })[];
}
