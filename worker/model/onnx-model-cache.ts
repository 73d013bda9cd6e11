// The ONNX model that was used last, open in ONNX Runtime. The worker writes the file itself, from weights that it has
// checked: a graph is a program, and none is taken from a peer.
import { join } from 'node:path';
import type { ModelConfig } from '../../checkpoint/model-config.ts';
import { type OnnxSession, openOnnxSession } from '../../checkpoint/onnx/onnx-session.ts';
import { writeOnnx } from '../../checkpoint/onnx/write-onnx.ts';
import { EspalierError } from '../../shared/errors.ts';
import { type LocalModel, openLocalModel } from './local-model.ts';
import { withOnnxFolder } from './onnx-folder.ts';

/** The file that is meant. */
export interface OnnxFileName {
  readonly dtype: 'F32' | 'F16';
  /** SHA-256 of the file, and of that beside it where it has one. */
  readonly digests: readonly string[];
}

export interface OpenOnnxModel {
  readonly session: OnnxSession;
  readonly config: ModelConfig;
}

export class OnnxModelCache {
  private readonly threads: number;
  private name = '';
  private model: OpenOnnxModel | null = null;

  /** @param threads of one operation. */
  constructor(threads: number) {
    this.threads = threads;
  }

  /** Opens a model's file; it stays open until another is asked for.
   * @throws EspalierError "protocol" when the model gives another file, and those of reading and writing it. */
  async open(model: LocalModel, file: OnnxFileName): Promise<OpenOnnxModel> {
    const name = [file.dtype, ...file.digests].join(' ');
    if (this.model !== null && this.name === name) return this.model;
    await this.clear();
    this.model = await openModel(model, file, this.threads);
    this.name = name;
    return this.model;
  }

  async clear(): Promise<void> {
    const { model } = this;
    this.model = null;
    await model?.session.close();
  }
}

async function openModel(model: LocalModel, file: OnnxFileName, threads: number): Promise<OpenOnnxModel> {
  const checkpoint = await openLocalModel(model);
  try {
    return await withOnnxFolder(async (folder) => {
      const out = join(folder, 'model.onnx');
      const external = file.digests.length > 1 ? { mostFileBytes: 0 } : {};
      const { files } = await writeOnnx(checkpoint, out, { dtype: file.dtype, ...external });
      const got = files.map(({ sha256 }) => sha256);
      if (got.join() !== file.digests.join())
        throw new EspalierError('protocol', `model.onnx: got ${got.join(', ')}, expected ${file.digests.join(', ')}`);
      return { session: await openOnnxSession(out, { threads }), config: checkpoint.config };
    });
  } finally {
    await checkpoint.close();
  }
}
