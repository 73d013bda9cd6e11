// The ONNX file of a pruned model that lies in its folder already.
import { join } from 'node:path';
import type { OnnxWeightDType } from '../../checkpoint/onnx/onnx-model.ts';
import { type WrittenOnnx, writeOnnx } from '../../checkpoint/onnx/write-onnx.ts';
import { openCheckpoint } from '../../checkpoint/open-checkpoint.ts';

/** Its name in each budget's folder. */
const ONNX_FILE = 'model.onnx';

/** Writes model.onnx beside the model in `directory`. @throws EspalierError as openCheckpoint and writeOnnx do. */
export async function writeModelOnnx(directory: string, dtype: OnnxWeightDType): Promise<WrittenOnnx> {
  const checkpoint = await openCheckpoint(directory);
  try {
    return await writeOnnx(checkpoint, join(directory, ONNX_FILE), { dtype });
  } finally {
    await checkpoint.close();
  }
}
