// Timed passes in ONNX Runtime, on files that are written for the purpose and removed once they are read. float32
// throughout, whatever the checkpoint is stored in.
import { availableParallelism } from 'node:os';
import path from 'node:path';
import type { ModelConfig } from '../../checkpoint/model-config.ts';
import {
  type OnnxBatch,
  type OnnxSession,
  onnxRuntimeVersion,
  openOnnxSession,
} from '../../checkpoint/onnx/onnx-session.ts';
import { writeOnnx } from '../../checkpoint/onnx/write-onnx.ts';
import { openCheckpoint } from '../../checkpoint/open-checkpoint.ts';
import { writePrunedCheckpoint } from '../../checkpoint/write-pruned.ts';
import { openLocalModel } from '../model/local-model.ts';
import { withOnnxFolder } from '../model/onnx-folder.ts';
import { loadPatches } from '../model/student.ts';
import { type PassShape, passTokenIds, type Runtime, type TimedModel, type TimedSource } from './runtime.ts';

export interface OnnxRuntimeOptions {
  /** Of one operation; 0: one a core that the process may use. */
  readonly threads: number;
  checkCancelled(): void;
}

/** ONNX Runtime on the CPU, the provider that its package brings.
 * @throws EspalierError "runtime_missing" where the package has nothing for this machine. */
export async function onnxRuntime({ threads, checkCancelled }: OnnxRuntimeOptions): Promise<Runtime> {
  const used = threads || availableParallelism();
  return {
    about: { name: 'onnxruntime', version: await onnxRuntimeVersion(), provider: 'cpu', threads: used },
    open: (source, shape) =>
      withOnnxFolder(async (folder) => {
        const { file, config } = await writeSource(source, folder);
        checkCancelled();
        return timedSession(await openOnnxSession(file, { threads: used }), shape, config);
      }),
  };
}

async function writeSource(
  { model, student }: TimedSource,
  folder: string,
): Promise<{ readonly file: string; readonly config: ModelConfig }> {
  const file = path.join(folder, 'model.onnx');
  const checkpoint = await openLocalModel(model);
  try {
    if (student === null) await writeOnnx(checkpoint, file, { dtype: 'F32' });
    else {
      const pruned = path.join(folder, 'pruned');
      await writePrunedCheckpoint(checkpoint, student.masks, 'F32', pruned, 'espalier', await loadPatches(student));
      const written = await openCheckpoint(pruned);
      try {
        await writeOnnx(written, file, { dtype: 'F32' });
      } finally {
        await written.close();
      }
    }
    return { file, config: checkpoint.config };
  } finally {
    await checkpoint.close();
  }
}

/** Passes of an open session, which belongs to what is returned from now on. */
export function timedSession(
  session: OnnxSession,
  shape: PassShape,
  config: Pick<ModelConfig, 'vocabularySize' | 'padTokenId'>,
): TimedModel {
  const { batchSize: samples, tokens } = shape;
  const inputIds = BigInt64Array.from(passTokenIds(shape, config), BigInt);
  const { length } = inputIds;
  const attentionMask = new BigInt64Array(length).fill(1n);
  const batch: OnnxBatch = { samples, tokens, inputIds, attentionMask, tokenTypeIds: new BigInt64Array(length) };
  return {
    pass: async () => Object.values(await session.run(batch))[0],
    close: () => session.close(),
  };
}
