// The published method's reference implementation on tiny models: test/fixtures/reference-*, float32 (see the README
// beside them).
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { FisherRows, MaskSizes } from '../../pruning/fisher.ts';
import { projectRoot } from '../../shared/project-root.ts';
import type { EncoderInput, MaskValues } from './reference-encoder.ts';

export const REFERENCE_FIXTURES = ['reference-bert', 'reference-distilbert'] as const;

export interface ReferenceCase {
  readonly constraint: number;
  readonly seq_len: number;
  readonly teacher_head_mask: number[][];
  readonly teacher_neuron_mask: number[][];
  readonly search_head_mask: number[][];
  readonly search_neuron_mask: number[][];
  readonly rearranged_head_mask: number[][];
  readonly rearranged_neuron_mask: number[][];
  readonly tuned_head_mask: number[][];
  readonly tuned_neuron_mask: number[][];
  readonly normal_equations: { kind: 'mha' | 'ffn'; ATA: number[][]; ATb: number[] }[];
  readonly tuned_logits: number[][][];
}

export interface ReferenceFixture {
  readonly directory: string;
  readonly batches: {
    input_ids: number[][];
    attention_mask: number[][];
    token_type_ids: number[][];
    labels: number[];
  }[];
  readonly logits: number[][][];
  readonly head_grads_per_batch: number[][][];
  readonly neuron_grads_per_batch: number[][][];
  readonly cases: ReferenceCase[];
}

/** Sizes of both models. */
export const REFERENCE_SIZES: MaskSizes & { hiddenSize: number; headSize: number } = {
  layers: 3,
  heads: 4,
  neurons: 96,
  hiddenSize: 48,
  headSize: 12,
};

export function loadReferenceFixture(name: string): ReferenceFixture {
  const directory = join(projectRoot(), 'test/fixtures', name);
  return { directory, ...JSON.parse(readFileSync(join(directory, 'expected.json'), 'utf8')) };
}

/** Fisher rows of the fixture: one a batch, the mean of its samples' gradients. */
export function fixtureFisher(fixture: ReferenceFixture): FisherRows {
  const rows = fixture.batches.map((_, batch) => [
    ...fixture.head_grads_per_batch[batch].flat(),
    ...fixture.neuron_grads_per_batch[batch].flat(),
  ]);
  return { form: 'rows', rows: rows.length, values: Float32Array.from(rows.flat()) };
}

/** All samples, in order. */
export function fixtureInputs(fixture: ReferenceFixture): EncoderInput[] {
  return fixture.batches.flatMap((batch) =>
    batch.input_ids.map((ids, sample) => ({
      ids,
      attentionMask: batch.attention_mask[sample],
      typeIds: batch.token_type_ids[sample],
    })),
  );
}

export function maskValues(heads: number[][], neurons: number[][]): MaskValues {
  return { heads: Float64Array.from(heads.flat()), neurons: Float64Array.from(neurons.flat()) };
}
