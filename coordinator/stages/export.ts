// Stage "export": a pruned model written, then opened and measured as it was written: what the report says is what the
// user gets.
import { openCheckpoint, type WeightDType } from '../../checkpoint/open-checkpoint.ts';
import type { JobContext } from '../job/job-context.ts';
import { type ModelBlobs, modelBlobs } from '../job/model-blobs.ts';
import { readPatches } from '../job/read-patches.ts';
import type { MaxDropReport, OnnxReport } from '../prune-report.ts';
import type { PruneRequest } from '../prune-settings.ts';
import { measureOnnx } from './onnx.ts';
import type { PrunedBudget } from './prune-budget.ts';
import { type StoredScores, storedQuality } from './quality.ts';

/** One budget, pruned, written and measured as written. */
export interface MeasuredBudget {
  readonly budget: PruneRequest['budgets'][number];
  readonly result: PrunedBudget;
  readonly dtype: WeightDType;
  /** As it was written, for tasks. */
  readonly model: ModelBlobs;
  /** Size of model.safetensors. */
  readonly bytes: number;
  /** SHA-256 of model.safetensors. */
  readonly digest: string;
  readonly scores: StoredScores | null;
  readonly onnx: OnnxReport | null;
  /** Seconds of measuring it. */
  readonly seconds: number;
  /** How the model was chosen, where it was for what it may lose. */
  readonly maxDrop?: MaxDropReport;
}

/** Writes one budget's model into the staging of the job's home and measures it. @param name of its stored quality.
 * @param judge is shown the model as it was written, before it is measured. */
export async function exportBudget(
  context: JobContext,
  { budget, result }: Pick<MeasuredBudget, 'budget' | 'result'>,
  settings: Pick<PruneRequest, 'dtype' | 'search' | 'onnx'>,
  name: string,
  judge: (model: ModelBlobs) => Promise<void> = async () => {},
): Promise<MeasuredBudget> {
  const { checkpoint, weights, home, compute } = context;
  const directory = await home.staging(budget.text);
  context.emit({ kind: 'stage-started', stage: 'export', budget: budget.text, steps: 1 });
  const start = performance.now();
  const dtype = settings.dtype ?? checkpoint.dtype;
  const layout = settings.search === 'uniform' ? 'stock' : 'espalier';
  const patches = await readPatches(result.patches ?? [], checkpoint.config);
  const { bytes, sha256 } = await compute.write(checkpoint, result.masks, dtype, directory, layout, patches);
  const onnx = settings.onnx ? await compute.writeOnnx(directory, settings.onnx) : null;
  const written = await openCheckpoint(directory);
  try {
    const model = await modelBlobs(written, weights, sha256);
    context.emit({
      kind: 'stage-finished',
      stage: 'export',
      budget: budget.text,
      seconds: (performance.now() - start) / 1000,
      reused: false,
    });
    await judge(model);
    const scores =
      context.evaluation === null ? null : await storedQuality(context, model, null, { name, budget: budget.text });
    const measuredOnnx =
      onnx && settings.onnx
        ? await measureOnnx(context, model, onnx, settings.onnx, { name, budget: budget.text })
        : null;
    return {
      budget,
      result,
      dtype,
      model,
      bytes,
      digest: sha256,
      scores: scores?.value ?? null,
      onnx: measuredOnnx?.report ?? null,
      seconds: (scores?.seconds ?? 0) + (measuredOnnx?.seconds ?? 0),
    };
  } finally {
    await written.close();
  }
}
