// A task that a real worker answers in milliseconds, and its blobs: outputs of a tiny model.
import { readFile } from 'node:fs/promises';
import path from 'node:path';
import type { TestContext } from 'node:test';
import { encodePlan } from '../../dataset/plan-blob.ts';
import { type BlobSource, blobOfBytes } from '../../shared/blobs/blob-source.ts';
import type { RunRequestBody } from '../../shared/rpc/protocol.ts';
import { randomSamples, tinyModel } from '../integration/engine/tiny-model.ts';
import { testPlan } from './engine.ts';

export interface TinyTask {
  readonly request: RunRequestBody;
  readonly weights: BlobSource;
  readonly plan: BlobSource;
}

export async function tinyTask(t: TestContext): Promise<TinyTask> {
  const { folder, model, config } = await tinyModel(t, 'Bert', 'SequenceClassification');
  const weights = blobOfBytes(await readFile(path.join(folder, 'model.safetensors')));
  const samples = testPlan(randomSamples(config, [5, 3, 7, 4, 6, 2]), { groupSize: 3, tokensPerShard: 12 });
  const plan = blobOfBytes(encodePlan(samples));
  const ref = ({ digest, sizeBytes }: BlobSource) => ({ digest, sizeBytes });
  const request: RunRequestBody = {
    taskId: 'evaluate/tiny',
    task: 'evaluate',
    evaluate: {
      model: { configJson: model.configJson, weights: [ref(weights)] },
      plan: ref(plan),
      shards: { first: 0, end: samples.shards.length },
    },
  };
  return { request, weights, plan };
}
