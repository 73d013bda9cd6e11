// What tasks of refits have in common, and what they answer.
import type { ModelConfig } from '../../../checkpoint/model-config.ts';
import type { ShardSpan } from '../../../pruning/fold-tree.ts';
import { projectionsOf, type RefitPart } from '../../../pruning/refit-part.ts';
import { DEFAULT_REFIT_SETTINGS } from '../../../pruning/refit-settings.ts';
import { type SubLayerPlace, stepOf } from '../../../pruning/sub-layers.ts';
import type { BlobSource } from '../../../shared/blobs/blob-source.ts';
import type { RefitEquationsTask } from '../../../shared/rpc/generated/espalier/v1/RefitEquationsTask.ts';
import type { TokenWeights } from '../../../shared/rpc/generated/espalier/v1/TokenWeights.ts';
import type { JobContext } from '../../job/job-context.ts';
import { readLadderReport } from '../../job/ladder-report.ts';
import { blobRef } from '../../job/model-blobs.ts';
import { resultTensor } from '../../job/result-tensor.ts';
import { type Student, studentBlobs, studentSet } from '../../job/student.ts';
import type { RefitReport } from '../../prune-report.ts';
import type { TaskResult } from '../../workers/task-spec.ts';
import type { TokenGradientBlob } from './gradients.ts';

/** As a task has them. */
export const REFIT_SETTINGS = JSON.stringify(DEFAULT_REFIT_SETTINGS);

export interface SubLayerInput {
  readonly student: Student;
  /** What positions are weighted by; null: all count alike. */
  readonly weights: { readonly tokens: readonly TokenGradientBlob[]; readonly means: Float64Array } | null;
}

/** What one system fits. */
export interface SystemPlace extends SubLayerPlace {
  readonly part: RefitPart;
  /** Heads or neurons of the dense layer, ascending. */
  readonly kept: Int32Array;
}

export interface SolvedPart {
  readonly weight: Float32Array;
  readonly bias: Float32Array;
  readonly report: RefitReport;
}

export interface RefitRequest {
  /** Of the system, in names of tasks. */
  readonly name: string;
  readonly common: Omit<RefitEquationsTask, 'shards' | 'weights'>;
  readonly blobs: readonly BlobSource[];
  /** Shards that are fitted, and those that judge, where some do. */
  readonly spans: readonly ShardSpan[];
  /** What positions of some shards count by. */
  weightsOf(summed: readonly ShardSpan[]): NamedWeights;
}

export interface NamedWeights {
  readonly message: TokenWeights | null;
  readonly blobs: readonly BlobSource[];
}

const NO_WEIGHTS: NamedWeights = { message: null, blobs: [] };

export function refitRequest(
  { calibration, model }: Pick<JobContext, 'calibration' | 'model'>,
  { student, weights }: SubLayerInput,
  { layer, subLayer, part }: Omit<SystemPlace, 'kept'>,
): RefitRequest {
  const { plan, blob } = calibration;
  const fitted = { first: 0, end: plan.fitShards };
  const judging = { first: plan.fitShards, end: plan.shards.length };
  return {
    name: `${layer}.${subLayer}${part === 'output' ? '' : `.${part}`}`,
    common: {
      ...{ model: model.ref, plan: blobRef(blob), student: studentSet(student) },
      ...{ layer, subLayer, ...(part !== 'output' && { part }) },
    },
    blobs: [...model.blobs, blob, ...studentBlobs(student)],
    spans: judging.end > judging.first ? [fitted, judging] : [fitted],
    weightsOf(summed) {
      const mean = meanOf(weights, { layer, subLayer });
      if (weights === null || mean === 0) return NO_WEIGHTS;
      const own = weights.tokens.filter(({ shards }) =>
        summed.some(({ first, end }) => shards.first < end && shards.end > first),
      );
      const gradients = own.map(({ shards, source }) => ({ shards, blob: blobRef(source) }));
      return { message: { gradients, mean }, blobs: own.map(({ source }) => source) };
    },
  };
}

/** What gradients at a sub-layer's positions are divided by; 0 where the loss depends on no output of it, and all count alike. */
export function meanOf(weights: SubLayerInput['weights'], { layer, subLayer }: SubLayerPlace): number {
  return weights?.means[stepOf(layer, subLayer)] ?? 0;
}

/** A system's solution. @param id of its task. @param result with "weight", "bias" and "report".
 * @throws EspalierError "protocol", "not_finite". */
export function readSolved(
  id: string,
  result: TaskResult,
  { layer, subLayer, part, kept }: SystemPlace,
  { hiddenSize, headSize }: Pick<ModelConfig, 'hiddenSize' | 'headSize'>,
): SolvedPart {
  const rows = kept.length * (subLayer === 'attention' ? headSize : 1) * projectionsOf(part, subLayer);
  const read = (field: 'weight' | 'bias', length: number) =>
    resultTensor(result, id, field, { dtype: 'F32', length }) as Float32Array;
  const { rung, heldOutBefore, heldOutAfter, tried } = readLadderReport(id, result.get('report')?.data);
  return {
    weight: read('weight', rows * hiddenSize),
    bias: read('bias', part === 'output' ? hiddenSize : rows),
    report: {
      ...{ layer, subLayer, ...(part !== 'output' && { part }), kept: kept.length },
      ...{ rung, heldOutBefore, heldOutAfter, tried },
    },
  };
}
