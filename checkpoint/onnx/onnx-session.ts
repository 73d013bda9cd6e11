// ONNX Runtime on the CPU with one exported model. Loaded when it is first asked for: most commands never need it.
import type { InferenceSession } from 'onnxruntime-node';
import { EspalierError } from '../../shared/errors.ts';
import { silenceOnnxRuntime } from './silence-onnxruntime.ts';

/** One batch, each int64 [samples, tokens]. */
export interface OnnxBatch {
  readonly samples: number;
  readonly tokens: number;
  readonly inputIds: BigInt64Array;
  /** 1 at tokens, 0 at padding. */
  readonly attentionMask: BigInt64Array;
  /** Read by models that know more than one type of token. */
  readonly tokenTypeIds: BigInt64Array;
}

/** An open model; whoever opened it closes it. */
export interface OnnxSession {
  /** Outputs by name, float32, see onnxOutputs. Holds the thread that it is called on until they are there. */
  run(batch: OnnxBatch): Promise<Readonly<Record<string, Float32Array>>>;
  close(): Promise<void>;
}

/** Opens a file that writeOnnx wrote. @param threads of one operation.
 * @throws EspalierError "model_format" for a file that ONNX Runtime does not take, "runtime_missing" where it cannot be
 * loaded. */
export async function openOnnxSession(file: string, { threads }: { threads: number }): Promise<OnnxSession> {
  const ort = await loadOnnxRuntime();
  const options: InferenceSession.SessionOptions = {
    executionProviders: ['cpu'],
    intraOpNumThreads: threads,
    interOpNumThreads: 1,
    graphOptimizationLevel: 'all',
    // Errors: they reach the caller, too; warnings are about its own optimisations.
    logSeverityLevel: 3,
    // Threads of a session that has run look for its next run for a while, and would take the cores from another
    // session meanwhile.
    extra: { session: { force_spinning_stop: '1' } },
  };
  const session = await ort.InferenceSession.create(file, options).catch((cause: Error) => {
    throw new EspalierError('model_format', `${file}: ONNX Runtime: ${cause.message}`, {
      action: 'export the model again',
      cause,
    });
  });
  return {
    async run({ samples, tokens, inputIds, attentionMask, tokenTypeIds }) {
      const feeds: Record<string, BigInt64Array> = {
        input_ids: inputIds,
        attention_mask: attentionMask,
        token_type_ids: tokenTypeIds,
      };
      const outputs = await session.run(
        Object.fromEntries(
          session.inputNames.map((name) => [name, new ort.Tensor('int64', feeds[name], [samples, tokens])]),
        ),
      );
      return Object.fromEntries(Object.entries(outputs).map(([name, { data }]) => [name, data as Float32Array]));
    },
    close: () => session.release(),
  };
}

/** Version of ONNX Runtime. @throws EspalierError "runtime_missing" where its package cannot be loaded. */
export async function onnxRuntimeVersion(): Promise<string> {
  return (await loadOnnxRuntime()).env.versions.node ?? 'unknown';
}

/** @throws EspalierError "runtime_missing". */
export async function loadOnnxRuntime(load = () => import('onnxruntime-node')) {
  silenceOnnxRuntime();
  try {
    return (await load()).default;
  } catch (cause) {
    const [reason] = (cause instanceof Error ? cause.message : String(cause)).split('\n');
    throw new EspalierError('runtime_missing', `onnxruntime-node cannot be loaded: ${reason}`, {
      cause,
      action: 'run `npm run setup` on a machine that ONNX Runtime is made for',
    });
  }
}
