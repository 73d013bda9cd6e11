// The training losses and their gradients with respect to the logits, on the device, where the logits are: fetching them
// would hold up the host in the middle of a pass. In float64, since logits are small.
import type { ModelConfig, TaskKind } from '../../checkpoint/model-config.ts';
import type { EncodedSample } from '../../dataset/encoded-sample.ts';
import type { MicroBatch } from '../../dataset/plan.ts';
import { EspalierError } from '../../shared/errors.ts';
import type { DeviceTensor } from '../engine/engine.ts';
import type { Ops } from '../engine/ops.ts';
import type { PackedPart, PackedUpload } from '../engine/packed-upload.ts';
import type { DeviceBatch } from './device-batch.ts';

export interface BatchLosses {
  /** float64 [b] */
  readonly losses: DeviceTensor;
  /** ∂loss/∂logits, float32 in the shape of the logits; 0 at padding. */
  readonly gradient: DeviceTensor;
}

/** In token classification: no label counts here. */
const UNLABELLED = -100;

/** Checks that a sample has the target that its loss needs (see EncodedSample.target).
 * @throws EspalierError "protocol" that begins with `name`. */
export function checkTarget(
  { task, outputs }: Pick<ModelConfig, 'task' | 'outputs'>,
  { tokenIds, target }: Pick<EncodedSample, 'tokenIds' | 'target'>,
  name: string,
): void {
  const { count, expected, fits } = expectedTarget(task, outputs, tokenIds.length);
  if (target.length !== count)
    throw new EspalierError('protocol', `${name}: got a target of ${target.length} numbers, expected ${count}`);
  for (const value of target)
    if (!fits(value)) throw new EspalierError('protocol', `${name}: got target ${value}, expected ${expected}`);
}

function expectedTarget(task: TaskKind, outputs: number, tokens: number) {
  const below = (end: number) => (value: number) => Number.isInteger(value) && value >= 0 && value < end;
  const isClass = below(outputs);
  const classes = `a class from 0 to ${outputs - 1}`;
  switch (task) {
    case 'single-label-classification':
      return { count: 1, expected: classes, fits: isClass };
    case 'multi-label-classification':
      return { count: outputs, expected: '0 to 1', fits: (value: number) => value >= 0 && value <= 1 };
    case 'regression':
      return { count: outputs, expected: 'a finite number', fits: Number.isFinite };
    case 'token-classification':
      return {
        count: tokens,
        expected: `${classes}, or ${UNLABELLED}`,
        fits: (value: number) => value === UNLABELLED || isClass(value),
      };
    case 'question-answering':
      return { count: 2, expected: `a token from 0 to ${tokens - 1}`, fits: below(tokens) };
  }
}

/** Packs what `batchLosses` compares with: int32 classes [b], [b, n] by token or [b, 2] for start and end, else float32
 * [b, outputs].
 * @throws EspalierError "protocol" when a sample has not the target that its loss needs. */
export function packTargets(
  upload: PackedUpload,
  samples: readonly EncodedSample[],
  { members, tokens }: MicroBatch,
  config: Pick<ModelConfig, 'task' | 'outputs'>,
): PackedPart {
  const { task, outputs } = config;
  for (const member of members) checkTarget(config, samples[member], `sample ${member}`);
  const width = { 'single-label-classification': 1, 'token-classification': tokens, 'question-answering': 2 };
  const isByClass = task !== 'multi-label-classification' && task !== 'regression';
  const columns = isByClass ? width[task] : outputs;
  const values = isByClass
    ? new Int32Array(members.length * columns).fill(UNLABELLED)
    : new Float32Array(members.length * columns);
  members.forEach((member, i) => {
    values.set(samples[member].target, i * columns);
  });
  return upload.add(values, task === 'single-label-classification' ? [members.length] : [members.length, columns]);
}

/** Losses of a micro-batch's samples, and their gradients. The tensors belong to the scope that is open.
 * - single-label: cross-entropy · multi-label: mean binary cross-entropy over the labels · regression: mean squared error
 * - token-classification: mean cross-entropy over the tokens whose target is not -100; 0 where there is none
 * - question-answering: mean of the start and the end cross-entropy over the sample's own tokens
 * @param logits float32 [b, outputs], or [rows, outputs] by token.
 * @param targets see `packTargets`. */
export function batchLosses(
  ops: Ops,
  { task, outputs }: Pick<ModelConfig, 'task' | 'outputs'>,
  logits: DeviceTensor,
  targets: DeviceTensor,
  batch: DeviceBatch,
): BatchLosses {
  const { samples, tokens, unpadded } = batch;
  const isByToken = task === 'token-classification' || task === 'question-answering';
  const padded = isByToken && unpadded !== null ? ops.gather(logits, unpadded.paddedRows) : logits;
  const z = ops.toFloat64(padded);
  /** Gradients of padded logits as those of the rows. */
  const byRow = (gradient: DeviceTensor) => {
    const all = ops.reshape(gradient, padded.shape);
    return unpadded === null ? all : ops.gather(all, unpadded.places);
  };
  switch (task) {
    case 'single-label-classification':
      return crossEntropy(ops, z, targets);
    case 'token-classification': {
      const { losses, gradient } = crossEntropies(ops, ops.reshape(z, [samples, tokens, outputs]), targets);
      return { losses, gradient: byRow(gradient) };
    }
    case 'question-answering': {
      let sides = ops.transpose(ops.reshape(z, [samples, tokens, 2]), [0, 2, 1]); // [b, 2, n]
      if (batch.paddingBias !== null)
        sides = ops.add(sides, ops.toFloat64(ops.reshape(batch.paddingBias, [samples, 1, tokens])));
      const { losses, gradient } = crossEntropies(ops, sides, targets);
      return { losses, gradient: byRow(ops.transpose(gradient, [0, 2, 1])) };
    }
    case 'multi-label-classification':
      return binaryCrossEntropies(ops, z, ops.toFloat64(targets));
    case 'regression':
      return squaredErrors(ops, z, ops.toFloat64(targets));
  }
}

// −log softmax(z)[class]; gradient softmax(z) − 1_class. z [b, classes], classes [b].
function crossEntropy(ops: Ops, z: DeviceTensor, classes: DeviceTensor): BatchLosses {
  const minusWanted = ops.toFloat64(ops.oneHot(classes, z.shape[1], { value: -1 }));
  const logShares = ops.logSoftmax(z);
  const losses = ops.sum64(ops.mul(logShares, minusWanted), [1]);
  return { losses, gradient: ops.toFloat32(ops.add(ops.exp(logShares), minusWanted)) };
}

// Mean over a sample's labelled positions of −log softmax(z)[class]; gradient (softmax(z) − 1_class) / positions.
// z [b, positions, classes], classes [b, positions], where a negative one is no label.
function crossEntropies(ops: Ops, z: DeviceTensor, classes: DeviceTensor): BatchLosses {
  const wanted = ops.toFloat64(ops.oneHot(classes, z.shape[2])); // [b, positions, classes]
  const isLabelled = ops.sum64(wanted, [2], true); // [b, positions, 1]: 0 or 1
  const count = ops.sum64(isLabelled, [1], true); // [b, 1, 1]
  const logShares = ops.logSoftmax(z);
  const slopes = ops.sub(ops.mul(ops.exp(logShares), isLabelled), wanted);
  const likelihoods = ops.sum64(ops.divOrZero(ops.mul(logShares, wanted), count), [1, 2]);
  return { losses: ops.neg(likelihoods), gradient: ops.toFloat32(ops.divOrZero(slopes, count)) };
}

// log(1 + exp(z)) − z·y, the mean over the labels; gradient (σ(z) − y) / labels. z and y [b, labels].
function binaryCrossEntropies(ops: Ops, z: DeviceTensor, y: DeviceTensor): BatchLosses {
  const count = ops.toFloat64(ops.engine.scalar(z.shape[1]));
  const parts = ops.div(ops.sub(ops.softplus(z), ops.mul(z, y)), count);
  return { losses: ops.sum64(parts, [1]), gradient: ops.toFloat32(ops.div(ops.sub(ops.sigmoid(z), y), count)) };
}

// (z − y)², the mean over the outputs; gradient 2(z − y) / outputs. z and y [b, outputs].
function squaredErrors(ops: Ops, z: DeviceTensor, y: DeviceTensor): BatchLosses {
  const count = ops.toFloat64(ops.engine.scalar(z.shape[1]));
  const error = ops.sub(z, y);
  const share = ops.div(error, count);
  return { losses: ops.sum64(ops.mul(error, share), [1]), gradient: ops.toFloat32(ops.add(share, share)) };
}
