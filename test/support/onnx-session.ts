// An ONNX file in ONNX Runtime on the CPU, one thread, as tests feed it.
import ort from 'onnxruntime-node';
import type { ModelConfig } from '../../checkpoint/model-config.ts';
import { hasHeadDense } from '../../checkpoint/weight-names.ts';
import type { EncodedSample } from '../../dataset/encoded-sample.ts';

/** int64 [batch, tokens] by input's name. */
export type OnnxFeeds = Readonly<Record<string, readonly (readonly number[])[]>>;

export interface OnnxAnswer {
  readonly dims: readonly number[];
  readonly values: readonly number[];
}

/** Runs a model once. Feeds that the model does not ask for are left out. @returns its outputs by name. */
export async function runOnnx(file: string, feeds: OnnxFeeds): Promise<Record<string, OnnxAnswer>> {
  const session = await ort.InferenceSession.create(file, {
    intraOpNumThreads: 1,
    executionProviders: ['cpu'],
    logSeverityLevel: 3,
  });
  try {
    const inputs = session.inputNames.map((name) => [name, int64(feeds[name])] as const);
    const outputs = await session.run(Object.fromEntries(inputs));
    return Object.fromEntries(
      Object.entries(outputs).map(([name, { dims, data }]) => [name, { dims, values: [...(data as Float32Array)] }]),
    );
  } finally {
    await session.release();
  }
}

/** Feeds of samples in one batch, padded to `tokens`. */
export function feedsOf(config: ModelConfig, samples: readonly EncodedSample[], tokens: number): OnnxFeeds {
  const padded = (values: ArrayLike<number>, fill: number) =>
    Array.from({ length: tokens }, (_, at) => (at < values.length ? values[at] : fill));
  return {
    input_ids: samples.map(({ tokenIds }) => padded(tokenIds, config.padTokenId)),
    attention_mask: samples.map(({ tokenIds }) => padded(new Uint8Array(tokenIds.length).fill(1), 0)),
    token_type_ids: samples.map(({ typeIds }) => padded(typeIds, 0)),
  };
}

/** Logits of a file as the engine gives them: all of one sample after the other, those of padding left out.
 * @param tokens that samples are padded to. */
export async function onnxLogits(
  file: string,
  config: ModelConfig,
  samples: readonly EncodedSample[],
  tokens: number = Math.max(...samples.map(({ tokenIds }) => tokenIds.length)),
): Promise<number[]> {
  const answers = await runOnnx(file, feedsOf(config, samples, tokens));
  if (hasHeadDense(config)) return [...answers.logits.values];
  const at = (row: number, output: number): number =>
    answers.logits === undefined
      ? (output === 0 ? answers.start_logits : answers.end_logits).values[row]
      : answers.logits.values[row * config.outputs + output];
  return samples.flatMap(({ tokenIds }, sample) =>
    Array.from({ length: tokenIds.length * config.outputs }, (_, i) =>
      at(sample * tokens + Math.floor(i / config.outputs), i % config.outputs),
    ),
  );
}

function int64(rows: readonly (readonly number[])[]): ort.Tensor {
  const values = BigInt64Array.from(rows.flat(), BigInt);
  return new ort.Tensor('int64', values, [rows.length, rows[0].length]);
}
