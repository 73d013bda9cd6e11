// The life of an export job: one checkpoint, dense or pruned, as an ONNX file.
import { lstat } from 'node:fs/promises';
import path from 'node:path';
import { OPSET, onnxInputs, onnxOutputs } from '../checkpoint/onnx/encoder-graph.ts';
import { externalDataFile, writeOnnx } from '../checkpoint/onnx/write-onnx.ts';
import { openCheckpoint } from '../checkpoint/open-checkpoint.ts';
import { EspalierError, toEspalierError } from '../shared/errors.ts';
import { espalierVersion } from '../shared/rpc/version.ts';

export interface ExportSettings {
  /** Folder of the checkpoint, dense or pruned. */
  readonly model: string;
  /** File to write, .onnx; must not exist unless `force`. */
  readonly out: string;
  readonly force: boolean;
  /** Type of the stored matrices. */
  readonly dtype: 'F32' | 'F16';
  /** Matrices in a file of their own even where one file could hold them. */
  readonly externalData: boolean;
}

/** What `espalier export --json` prints. Names of fields are stable: scripts read them. */
export interface ExportReport {
  readonly espalier: string;
  readonly model: { readonly name: string; readonly type: string };
  readonly task: string;
  readonly dtype: 'float32' | 'float16';
  readonly opset: number;
  readonly inputs: readonly string[];
  readonly outputs: readonly string[];
  readonly parameters: number;
  /** The .onnx file, and after it the file of its matrices where it has one. */
  readonly files: readonly { readonly path: string; readonly bytes: number; readonly sha256: string }[];
}

/** Writes a checkpoint as ONNX. @throws EspalierError "output_exists", "output_unwritable", "disk_full", and those of
 * opening the model; `out` is then as before, or, where a file of matrices was being replaced, gone. */
export async function runExportJob(settings: ExportSettings, signal: AbortSignal): Promise<ExportReport> {
  const { model, out, force, dtype, externalData } = settings;
  const checkpoint = await openCheckpoint(model);
  try {
    for (const file of [out, externalDataFile(out)]) await requireFree(file, force);
    const options = { dtype, signal, ...(externalData && { mostFileBytes: 0 }) };
    const { files } = await writeOnnx(checkpoint, out, options).catch((caught) => {
      throw writingError(out, caught);
    });
    const { config } = checkpoint;
    return {
      espalier: espalierVersion(),
      model: { name: path.basename(path.resolve(model)), type: config.modelType },
      task: config.task,
      dtype: dtype === 'F16' ? 'float16' : 'float32',
      opset: OPSET,
      inputs: onnxInputs(config).map(({ name }) => name),
      outputs: onnxOutputs(config).map(({ name }) => name),
      parameters: checkpoint.parameters,
      files,
    };
  } finally {
    await checkpoint.close();
  }
}

async function requireFree(file: string, force: boolean): Promise<void> {
  const found = await lstat(file).catch(() => null);
  if (found === null) return;
  if (!found.isFile())
    throw new EspalierError('output_exists', `${file}: got something that is no file, expected a file or nothing`, {
      action: 'move it away or choose another --out',
    });
  if (!force) throw new EspalierError('output_exists', `${file}: got a file, expected nothing`);
}

/** What the system refuses is "output_unwritable". */
function writingError(file: string, caught: unknown): EspalierError {
  const error = toEspalierError(caught);
  if (error.code !== 'internal' || (caught as NodeJS.ErrnoException).syscall === undefined) return error;
  return new EspalierError('output_unwritable', `${file}: ${error.message}`, { cause: caught });
}
