// What forward passes are timed in. Two implementations: the engine, and ONNX Runtime, which most models are deployed in.
import type { ModelConfig } from '../../checkpoint/model-config.ts';
import type { LocalModel } from '../model/local-model.ts';
import type { StoredStudent } from '../model/student.ts';

/** A model to time: a checkpoint as it is, or a student of it, as smaller matrices. */
export interface TimedSource {
  readonly model: LocalModel;
  readonly student: StoredStudent | null;
}

/** What every pass computes: a full batch of valid token ids, none of it padding. */
export interface PassShape {
  readonly batchSize: number;
  readonly tokens: number;
}

/** A model that is ready to run; whoever opened it closes it. */
export interface TimedModel {
  /** One forward pass, from token ids in memory to logits in memory.
   * @returns float32 logits in the order of the runtime's first output. */
  pass(): Promise<Float32Array>;
  close(): Promise<void>;
}

/** What computed, for reports and for the keys of tables. */
export interface RuntimeAbout {
  readonly name: 'engine' | 'onnxruntime';
  readonly version: string;
  /** "cpu" or "gpu". */
  readonly provider: string;
  /** Threads of one operation; 0 where a GPU computes. */
  readonly threads: number;
}

export interface Runtime {
  readonly about: RuntimeAbout;
  /** @throws EspalierError of the checkpoint's reading, "engine" where the runtime refuses the model. */
  open(source: TimedSource, shape: PassShape): Promise<TimedModel>;
}

/** Token ids of a pass, int32 [batchSize · tokens]: spread over the whole vocabulary, none of them padding, another row for
 * each sample. Their values change nothing of what a dense pass computes. */
export function passTokenIds(
  { batchSize, tokens }: PassShape,
  { vocabularySize, padTokenId }: Pick<ModelConfig, 'vocabularySize' | 'padTokenId'>,
): Int32Array {
  return Int32Array.from({ length: batchSize * tokens }, (_, i) => {
    const id = (i * 7919) % vocabularySize;
    return id === padTokenId ? (id + 1) % vocabularySize : id;
  });
}
