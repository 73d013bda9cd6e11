// Exported files in ONNX Runtime, one thread, as tests feed them.

import type { ModelConfig } from '../../checkpoint/model-config.ts';
import { onnxOutputsOf } from '../../checkpoint/onnx/onnx-outputs.ts';
import { openOnnxSession } from '../../checkpoint/onnx/onnx-session.ts';
import type { EncodedSample } from '../../dataset/encoded-sample.ts';

/** Inputs as a tokenizer of transformers gives them, [batch, tokens] each. */
export interface TokenizedBatch {
  readonly input_ids: readonly (readonly number[])[];
  readonly attention_mask: readonly (readonly number[])[];
  readonly token_type_ids: readonly (readonly number[])[];
}

/** Runs a file once. @returns its outputs by name. */
export async function runOnnx(file: string, batch: TokenizedBatch): Promise<Readonly<Record<string, Float32Array>>> {
  const session = await openOnnxSession(file, { threads: 1 });
  const int64 = (rows: readonly (readonly number[])[]) => BigInt64Array.from(rows.flat(), BigInt);
  try {
    return await session.run({
      samples: batch.input_ids.length,
      tokens: batch.input_ids[0].length,
      inputIds: int64(batch.input_ids),
      attentionMask: int64(batch.attention_mask),
      tokenTypeIds: int64(batch.token_type_ids),
    });
  } finally {
    await session.close();
  }
}

/** Logits of a file as the engine gives them: all of one sample after the other, those of padding left out.
 * @param tokens that samples are padded to. */
export async function onnxLogits(
  file: string,
  config: ModelConfig,
  samples: readonly EncodedSample[],
  tokens: number = Math.max(...samples.map(({ tokenIds }) => tokenIds.length)),
): Promise<number[]> {
  const session = await openOnnxSession(file, { threads: 1 });
  try {
    return (await onnxOutputsOf(session, config, samples, tokens)).flatMap((logits) => [...logits]);
  } finally {
    await session.close();
  }
}
