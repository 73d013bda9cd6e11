// The ONNX file of an exported model, measured as it was written: by ONNX Runtime, on the evaluation samples.
import path from 'node:path';
import type { OnnxWeightDType } from '../../checkpoint/onnx/onnx-model.ts';
import type { WrittenOnnx } from '../../checkpoint/onnx/write-onnx.ts';
import type { JobContext } from '../job/job-context.ts';
import type { ModelBlobs } from '../job/model-blobs.ts';
import type { OnnxReport } from '../prune-report.ts';
import { storedQuality } from './quality.ts';

/** Scores of an ONNX file, where there are samples to measure it on. @param model that the file was written from.
 * @param place of the model's own stored quality. @returns what the report says, and the seconds of measuring. */
export async function measureOnnx(
  context: JobContext,
  model: ModelBlobs,
  written: WrittenOnnx,
  dtype: OnnxWeightDType,
  place: { readonly name: string; readonly budget: string },
): Promise<{ report: OnnxReport; seconds: number }> {
  const digests = written.files.map(({ sha256 }) => sha256);
  const type = dtype === 'F16' ? 'float16' : 'float32';
  const stored = { ...place, name: `${place.name}-onnx-${type}` };
  const scores = context.evaluation && (await storedQuality(context, model, { dtype, digests }, stored));
  const files = written.files.map(({ path: file, bytes, sha256 }) => ({ name: path.basename(file), bytes, sha256 }));
  return {
    report: { dtype: type, files, scores: scores?.value.values ?? null },
    seconds: scores?.seconds ?? 0,
  };
}
