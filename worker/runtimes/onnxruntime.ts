// Timed passes in ONNX Runtime, on files that are written for the purpose and removed once they are read. float32
// throughout, whatever the checkpoint is stored in.
import { mkdtemp, readdir, rm } from 'node:fs/promises';
import { availableParallelism, tmpdir } from 'node:os';
import path from 'node:path';
import type { ModelConfig } from '../../checkpoint/model-config.ts';
import {
  type OnnxBatch,
  type OnnxSession,
  onnxRuntimeVersion,
  openOnnxSession,
} from '../../checkpoint/onnx/onnx-session.ts';
import { writeOnnx } from '../../checkpoint/onnx/write-onnx.ts';
import { type Checkpoint, openCheckpoint, openCheckpointFiles } from '../../checkpoint/open-checkpoint.ts';
import { writePrunedCheckpoint } from '../../checkpoint/write-pruned.ts';
import { isRunning } from '../../shared/process-identity.ts';
import type { LocalModel } from '../model/model-cache.ts';
import { type PassShape, passTokenIds, type Runtime, type TimedModel, type TimedSource } from './runtime.ts';

/** Of the folders that files are written to, before the number of the process. */
const PREFIX = 'espalier-onnx-';

export interface OnnxRuntimeOptions {
  /** Of one operation; 0: one a core that the process may use. */
  readonly threads: number;
  checkCancelled(): void;
}

/** ONNX Runtime on the CPU, the provider that its package brings.
 * @throws EspalierError "engine" where the package has nothing for this machine. */
export async function onnxRuntime({ threads, checkCancelled }: OnnxRuntimeOptions): Promise<Runtime> {
  const used = threads || availableParallelism();
  await removeAbandoned();
  return {
    about: { name: 'onnxruntime', version: await onnxRuntimeVersion(), provider: 'cpu', threads: used },
    async open(source, shape) {
      const folder = await mkdtemp(path.join(tmpdir(), `${PREFIX}${process.pid}-`));
      try {
        const { file, config } = await writeSource(source, folder);
        checkCancelled();
        return timedSession(await openOnnxSession(file, { threads: used }), shape, config);
      } finally {
        await rm(folder, { recursive: true, force: true });
      }
    },
  };
}

/** A worker that was killed could not remove what it had written. */
async function removeAbandoned(): Promise<void> {
  for (const name of await readdir(tmpdir())) {
    const pid = name.startsWith(PREFIX) ? Number.parseInt(name.slice(PREFIX.length), 10) : Number.NaN;
    if (Number.isNaN(pid) || isRunning(pid)) continue;
    await rm(path.join(tmpdir(), name), { recursive: true, force: true });
  }
}

async function writeSource(
  { model, masks }: TimedSource,
  folder: string,
): Promise<{ readonly file: string; readonly config: ModelConfig }> {
  const file = path.join(folder, 'model.onnx');
  const checkpoint = await openModel(model);
  try {
    if (masks === null) await writeOnnx(checkpoint, file, { dtype: 'F32' });
    else {
      const pruned = path.join(folder, 'pruned');
      await writePrunedCheckpoint(checkpoint, masks, 'F32', pruned);
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

function openModel({ configJson, weights }: LocalModel): Promise<Checkpoint> {
  const files = weights.map(({ path: file, digest }) => ({ path: file, label: digest.slice(0, 12) }));
  return openCheckpointFiles(configJson, files, `model ${files[0]?.label ?? ''}`);
}

function timedSession(session: OnnxSession, shape: PassShape, config: ModelConfig): TimedModel {
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
