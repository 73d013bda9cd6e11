// Stage "refit": projections of every sub-layer in order, each on the student that the ones before have made. With one worker a
// task a system, or several where they take little time (refit-chain.ts); of several workers each sums its nodes of the plan's
// tree, and one solves.

import {
  addInputSumsTo,
  type InputSums,
  inputColumns,
  inputSumsFromTensors,
  inputSumsToTensors,
} from '../../../pruning/input-equations.ts';
import { patchToTensors } from '../../../pruning/patch.ts';
import { UNCHANGED } from '../../../pruning/refit.ts';
import {
  addRefitSumsTo,
  type RefitSums,
  refitSumsFromTensors,
  refitSumsToTensors,
} from '../../../pruning/refit-equations.ts';
import type { RefitPart } from '../../../pruning/refit-part.ts';
import { EspalierError } from '../../../shared/errors.ts';
import type { SumSource } from '../../../shared/rpc/generated/espalier/v1/SumSource.ts';
import { type JobContext, TASK_DEADLINE_MS } from '../../job/job-context.ts';
import { scratchBlob } from '../../job/scratch-blob.ts';
import { type PatchBlob, type Student, withPatch } from '../../job/student.ts';
import type { RefitReport } from '../../prune-report.ts';
import type { StepSettings } from '../../step-settings.ts';
import type { TaskResult, TaskSpec } from '../../workers/task-spec.ts';
import { foldedSums, type NodeOfShare, SOLVE_AFFINITY, type SumKind } from '../fold-sums.ts';
import { storeInTurns } from '../store-in-turns.ts';
import { mostChained } from '../task-chain.ts';
import { ONE_BY_ONE, type TaskPace } from '../task-pace.ts';
import type { StudentGradients } from './gradients.ts';
import { type PatchToFit, patchesToFit } from './patches-to-fit.ts';
import { chainOf, refitChain } from './refit-chain.ts';
import { REFIT_SETTINGS, readSolved, refitRequest, type SolvedPart, type SubLayerInput } from './refit-request.ts';

/** New projections of a sub-layer, with what is told of them: a report for each system. */
export interface RefittedPatch {
  /** null: what the student has stays, since nothing that was solved judged better. */
  readonly patch: PatchBlob | null;
  readonly reports: readonly RefitReport[];
}

/** The student with what was refitted. */
export function withRefitted(student: Student, refitted: readonly RefittedPatch[]): Student {
  return refitted.reduce((own, { patch }) => (patch === null ? own : withPatch(own, patch)), student);
}

export interface RefitInput {
  /** Masks of this step, and the projections of the student that it starts from. */
  readonly student: Student;
  /** At the student that the step starts from. */
  readonly gradients: StudentGradients;
  readonly settings: Pick<StepSettings, 'positionWeights' | 'refit'>;
  /** What an earlier run had finished, in order. */
  readonly resumed: readonly RefittedPatch[];
  /** How many projections a task of a worker that is alone refits; left out: those of one patch. */
  readonly pace?: TaskPace;
}

export interface RefitObserver {
  /** Stores what there is, all patches so far. One call at a time; the last call holds all. */
  store(refitted: readonly RefittedPatch[]): Promise<void>;
  /** So many patches are found. */
  progress?(done: number): void;
}

/** Refits all sub-layers, in the order in which they run, those that keep nothing too: their bias is left. See `storeInTurns` for what it
 * returns before. @returns all of them. */
export function runRefit(
  context: JobContext,
  input: RefitInput,
  { store, progress = () => {} }: RefitObserver,
): Promise<readonly RefittedPatch[]> {
  const tell = (refitted: readonly RefittedPatch[]) => progress(refitted.length);
  return storeInTurns(context.behind, { store, tell }, async (onFound) => {
    let refitted = input.resumed;
    let student = withRefitted(input.student, refitted);
    const { gradients, settings, pace = ONE_BY_ONE } = input;
    const places = patchesToFit(student.masks, context.checkpoint.config, settings);
    if (refitted.length === places.length) return refitted;
    const weights =
      settings.positionWeights === 'equal' ? null : { tokens: await gradients.tokens(), means: gradients.means };
    const take = (found: RefittedPatch) => {
      student = withRefitted(student, [found]);
      refitted = [...refitted, found];
      onFound(refitted, refitted.length === places.length);
    };
    while (refitted.length < places.length) {
      const [begunAt, startMs] = [refitted.length, performance.now()];
      const rest = places.slice(begunAt);
      const chained = chainOf(rest, weights, mostChained(context.workers, pace));
      if (chained.length > 1)
        await refitChain(context, { student, weights }, chained, async (place, solved) =>
          take(await patchOf(context, place, [solved])),
        );
      else take(await refitPatch(context, { student, weights }, rest[0]));
      pace.took(performance.now() - startMs, refitted.length - begunAt);
    }
    return refitted;
  });
}

/** The systems of a patch are solved one after the other, on the same student. */
async function refitPatch(context: JobContext, input: SubLayerInput, place: PatchToFit): Promise<RefittedPatch> {
  const solved: SolvedPart[] = [];
  for (const own of place.parts) solved.push(await solvePart(context, input, place, own));
  return patchOf(context, place, solved);
}

/** @param solved of all systems of the patch. */
async function patchOf(
  context: JobContext,
  { layer, subLayer, part, kept }: PatchToFit,
  solved: readonly SolvedPart[],
): Promise<RefittedPatch> {
  const reports = solved.map(({ report }) => report);
  if (isUnchanged(reports)) return { patch: null, reports };
  const [weight, bias] = (['weight', 'bias'] as const).map((field) => joined(solved.map((own) => own[field])));
  const source = await scratchBlob(context, patchToTensors({ part, kept, weight, bias }));
  context.workers.bring?.([source]);
  return { patch: { layer, subLayer, part, source }, reports };
}

/** Whether systems of one patch changed nothing. */
export function isUnchanged(reports: readonly RefitReport[]): boolean {
  return reports.every(({ rung }) => rung === UNCHANGED);
}

function joined(parts: readonly Float32Array[]): Float32Array {
  if (parts.length === 1) return parts[0];
  const whole = new Float32Array(parts.reduce((sum, { length }) => sum + length, 0));
  let at = 0;
  for (const part of parts) {
    whole.set(part, at);
    at += part.length;
  }
  return whole;
}

async function solvePart(
  context: JobContext,
  input: SubLayerInput,
  place: PatchToFit,
  part: RefitPart,
): Promise<SolvedPart> {
  const { workers, signal, checkpoint } = context;
  const { hiddenSize, headSize } = checkpoint.config;
  const features = place.kept.length * (place.subLayer === 'attention' ? headSize : 1);
  const { name, common, blobs, spans, weightsOf } = refitRequest(context, input, { ...place, part });

  const spread = workers.tuningSpread ?? workers.count;
  const task = ({ shards, stays, affinity }: NodeOfShare): TaskSpec => {
    const weights = weightsOf([shards]);
    return {
      id: `refit-equations/${name}/${shards.first}-${shards.end}`,
      blobs: [...blobs, ...weights.blobs],
      request: { refitEquations: { ...common, shards, weights: weights.message, stays } },
      affinity,
      deadlineMs: TASK_DEADLINE_MS,
    };
  };
  const work = { spans, spread, nodeBytes: sumBytes(part, features, hiddenSize), task };
  const summed = () =>
    part === 'output'
      ? foldedSums(context, { ...work, kind: outputSumKind(name, features, hiddenSize) })
      : foldedSums(context, { ...work, kind: inputSumKind(hiddenSize) });
  const sums = spread > 1 ? await summed() : null;
  const id = `refit/${name}`;
  const [fit, heldOut = null] = sums?.sources ?? spans.map((shards): SumSource => ({ shards }));
  // Sums that came are weighted already.
  const weights = weightsOf(sums?.stayed ?? spans);
  let result: TaskResult;
  try {
    [result] = await workers.runTasks(
      [
        {
          id,
          blobs: [...blobs, ...weights.blobs, ...(sums?.blobs ?? [])],
          request: { refit: { ...common, fit, heldOut, weights: weights.message, settingsJson: REFIT_SETTINGS } },
          affinity: SOLVE_AFFINITY,
          deadlineMs: TASK_DEADLINE_MS,
        },
      ],
      { signal },
    );
  } finally {
    sums?.share?.release();
  }
  return readSolved(id, result, { ...place, part }, checkpoint.config);
}

function outputSumKind(name: string, features: number, hiddenSize: number): SumKind<RefitSums> {
  return {
    read(tensors) {
      const sums = refitSumsFromTensors(tensors, hiddenSize);
      if (sums.features === features) return sums;
      throw new EspalierError(
        'protocol',
        `refit-equations/${name}: got sums of ${sums.features} features, expected ${features}`,
      );
    },
    add: addRefitSumsTo,
    write: refitSumsToTensors,
  };
}

function inputSumKind(hiddenSize: number): SumKind<InputSums> {
  return {
    read: (tensors) => inputSumsFromTensors(tensors, hiddenSize),
    add: addInputSumsTo,
    write: inputSumsToTensors,
  };
}

/** Bytes of what a refit_equations task returns at the most. */
function sumBytes(part: RefitPart, features: number, hiddenSize: number): number {
  const numbers =
    part === 'output' ? (features + 1) ** 2 + (features + 1) * hiddenSize + 2 : inputColumns(hiddenSize) ** 2 + 1;
  return Float64Array.BYTES_PER_ELEMENT * numbers;
}
