// What a prune job reads before any work, and what follows from it alone: costs, group size, the run's fingerprint, the
// disk space that the output needs.
import type { Checkpoint } from '../../checkpoint/open-checkpoint.ts';
import type { Dataset, EncodedDataset } from '../../dataset/load-dataset.ts';
import { parameterCount } from '../../pruning/compact.ts';
import { pathTo } from '../../pruning/grid.ts';
import { mostTries, sharesFrom } from '../../pruning/smallest-share.ts';
import { MOST_SPLITS } from '../../pruning/split.ts';
import type { Releases } from '../../shared/lifecycle.ts';
import { gradualSettings } from '../gradual-settings.ts';
import type { JobEvent } from '../job-events.ts';
import { type Budget, lastStage, type PruneRequest } from '../prune-settings.ts';
import { drawSamples } from '../stages/plan.ts';
import { stepSettings } from '../step-settings.ts';
import { type Costs, modelCosts } from './budget.ts';
import { type OpenedHeldOut, openHeldOut, requireHeldOut } from './held-out.ts';
import type { Evaluation, HeldOut } from './job-context.ts';
import type { LoadedEvaluation } from './open-inputs.ts';
import {
  type KnownWeights,
  type ModelInput,
  openData,
  openEvaluation,
  openModel,
  requireDense,
} from './open-inputs.ts';
import { isLatencyBudget } from './read-latency-budgets.ts';
import { budgetTiming, requireLengths } from './timing-settings.ts';

export interface PruneInputs {
  readonly model: Pick<ModelInput, 'checkpoint' | 'digest'>;
  readonly data: Pick<Dataset, 'digest' | 'rows'>;
  /** What the model is pruned with; `truncated` is of all that were drawn. */
  readonly drawn: Pick<EncodedDataset, 'samples' | 'truncated'>;
  /** What was drawn and is kept apart; null: no budget asks for it. */
  readonly heldOut: HeldOut | null;
  readonly evaluation: Evaluation | null;
  readonly costs: Costs;
  /** Samples a Fisher row. */
  readonly groupSize: number;
}

/** Inputs with what only this process can hold. */
export interface OpenedInputs extends PruneInputs {
  readonly drawn: Pick<EncodedDataset, 'samples' | 'drawn' | 'truncated'>;
  readonly heldOut: OpenedHeldOut | null;
  readonly evaluation: LoadedEvaluation | null;
}

/** Fisher groups as published: the batch sizes of the reference. */
const USUAL_GROUP = 32;
const USUAL_GROUP_OF_WINDOWS = 12;
/** Tokenizer, configuration and report of one written model. */
const BESIDE_WEIGHTS_BYTES = 2e6;
/** Stored stages. */
const STATE_BYTES = 64e6;

/** Opens and checks model and data and draws the samples; `releases` closes the model. Tells what was cut or is fewer
 * than asked for. @param onModel told when the model is open, before the data is read. @param known of the model. @throws EspalierError for anything that is wrong with them. */
export async function openPruneInputs(
  settings: PruneRequest,
  releases: Releases,
  onEvent: (event: JobEvent) => void,
  onModel: (checkpoint: Checkpoint) => Promise<void> = async () => {},
  known?: KnownWeights,
): Promise<OpenedInputs> {
  const model = await openModel(settings.model, releases, known);
  const { config } = model.checkpoint;
  requireDense(model, settings.model);
  requireLengths(settings.timing, config);
  await onModel(model.checkpoint);
  const data = await openData(settings.data, model, settings, settings.labels === 'data');
  const evaluation = settings.evaluation === null ? null : await openEvaluation(settings.evaluation, model, settings);
  const drawn = drawSamples(data, settings);
  if (drawn.samples.length < settings.samples && !settings.replacement)
    onEvent({
      kind: 'notice',
      text: `${settings.data}: all ${drawn.samples.length} samples are used, fewer than the ${settings.samples} asked for`,
    });
  for (const [file, encoded] of [
    [settings.data, drawn],
    [settings.evaluation, evaluation?.encoded],
  ] as const)
    if (encoded !== undefined && encoded.truncated > 0)
      onEvent({
        kind: 'notice',
        text: `${file}: ${encoded.truncated} of ${encoded.samples.length} samples were longer than ${data.maxTokens} tokens and were cut`,
      });
  const tokens =
    settings.macsLength ?? drawn.samples.reduce((sum, { tokenIds }) => sum + tokenIds.length, 0) / drawn.samples.length;
  const costs = modelCosts(config, tokens, settings);
  const groupSize =
    settings.fisherGroup ?? (config.task === 'question-answering' ? USUAL_GROUP_OF_WINDOWS : USUAL_GROUP);
  // The drawn samples are all that the job needs of the calibration data, which may be large.
  const { fitted, heldOut } = requireHeldOut(settings)
    ? openHeldOut(settings, config, drawn)
    : { fitted: drawn.drawn, heldOut: null };
  const least = Math.min(...settings.budgets.filter(({ kind }) => kind === 'max-drop').map(({ value }) => value));
  if (heldOut !== null && heldOut.examples * least < 1)
    onEvent({
      kind: 'notice',
      text: `max-drop: ${heldOut.examples} held-out samples judge a loss of ${least}, which is less than one of them: --samples draws more`,
    });
  return {
    model: { checkpoint: model.checkpoint, digest: model.digest },
    data: { digest: data.digest, rows: data.rows },
    drawn: { samples: fitted.map(({ sample }) => sample), drawn: fitted, truncated: drawn.truncated },
    heldOut,
    evaluation,
    costs,
    groupSize,
  };
}

/** All that stored stages depend on; where the work runs is not part of it, but for the device class, which is stored
 * with the plan. */
export function runFingerprint(settings: PruneRequest, inputs: PruneInputs): object {
  const { seed, samples, replacement, labels, damping, macsLength, maxLength, stride, columns, metric } = settings;
  return {
    model: inputs.model.digest.digest,
    data: inputs.data.digest,
    evaluation: inputs.evaluation?.dataset.digest ?? null,
    budgets: settings.budgets.map(({ kind, value }) => (kind === undefined ? value : { kind, value })),
    fisherGroup: inputs.groupSize,
    ...((settings.fastest || settings.budgets.some(isLatencyBudget)) && { timing: budgetTiming(settings.timing) }),
    dtype: settings.dtype ?? inputs.model.checkpoint.dtype,
    ...(requireHeldOut(settings) && { maxDropConfidence: settings.maxDropConfidence ?? null }),
    ...(settings.fastest && { fastest: true }),
    ...{ seed, samples, replacement, labels, damping, macsLength, maxLength, stride, columns, metric },
    // The last stage: what the method was called by before it had several forms, so that such a run can be resumed.
    method: lastStage(settings.method),
    ...(settings.onnx && { onnx: settings.onnx }),
    // Left out where they are as ever, so that a run that an earlier version began can be resumed.
    ...(settings.search !== 'paper' && { search: settings.search }),
    ...(settings.neuronMultiple !== 1 && { neuronMultiple: settings.neuronMultiple }),
    ...(settings.gradual && { gradual: settings.gradual }),
  };
}

/** Disk space that state and output need, about: a budget cuts heads and neurons, every model written has all the rest; a gradual
 * job keeps the projections of all students on the way. */
export function outputBytes(
  settings: Pick<PruneRequest, 'budgets' | 'dtype' | 'onnx' | 'method' | 'gradual'>,
  { config, dtype, parameters }: Pick<Checkpoint, 'config' | 'dtype' | 'parameters'>,
): number {
  const bytesOf = (type: string) => (type === 'F32' ? 4 : 2);
  const elementBytes = bytesOf(settings.dtype ?? dtype) + (settings.onnx ? bytesOf(settings.onnx) : 0);
  const none = config.headsByLayer.map(() => 0);
  const rest = parameterCount(config, { headsByLayer: none, neuronsByLayer: none });
  const written = settings.budgets.reduce((sum, budget) => sum + rest + mostKept(budget) * (parameters - rest), 0);
  const patches = settings.method === 'gradual' ? patchBytes(settings, config) : 0;
  return written * elementBytes + settings.budgets.length * BESIDE_WEIGHTS_BYTES + STATE_BYTES + patches;
}

/** Patches of all students of the trajectory, each in the state and in the scratch folder. */
function patchBytes(
  { budgets, gradual }: Pick<PruneRequest, 'budgets' | 'gradual'>,
  config: Checkpoint['config'],
): number {
  const settings = gradualSettings(gradual);
  if (settings.refit === 'scales') return 0;
  const { layers, hiddenSize, intermediateSize } = config;
  const shares = new Set<number>();
  for (const { kind, value } of budgets) {
    // What a loss or a time comes to is not known yet: the whole grid down to a tenth, and a branch for each try.
    const { trunk, branch } = pathTo(kind === undefined ? value : 0.1, settings.steps);
    for (const share of branch === null ? trunk : [...trunk, branch]) shares.add(share);
  }
  const tries = budgets.some(({ kind }) => kind !== undefined) ? mostTries(sharesFrom(0)) : 0;
  // Query, key and value beside attention's output; the FFN's first projection beside its last.
  const rowsAt = (share: number) =>
    stepSettings(settings, share).refit === 'all-weights'
      ? 4 * hiddenSize + 2 * intermediateSize
      : hiddenSize + intermediateSize;
  const rows = [...shares].reduce((sum, share) => sum + share * rowsAt(share), tries * rowsAt(0));
  const tried = settings.split === 'divergence' ? MOST_SPLITS : 1;
  return 2 * tried * rows * layers * hiddenSize * Float32Array.BYTES_PER_ELEMENT;
}

/** Share of the encoder's parameters that a budget's model may keep. */
function mostKept({ kind, value }: Budget): number {
  return kind === undefined ? value : 1;
}
