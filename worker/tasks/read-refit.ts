// Requests of refits, with everything that a peer can choose checked.
import type { Plan } from '../../dataset/plan.ts';
import { parseRefitSettings } from '../../pruning/refit.ts';
import type { RefitPart } from '../../pruning/refit-part.ts';
import { EspalierError } from '../../shared/errors.ts';
import type { BlobRef__Output } from '../../shared/rpc/generated/espalier/v1/BlobRef.ts';
import type { MaskSet__Output } from '../../shared/rpc/generated/espalier/v1/MaskSet.ts';
import type { NextRefit__Output } from '../../shared/rpc/generated/espalier/v1/NextRefit.ts';
import type { RefitEquationsTask__Output } from '../../shared/rpc/generated/espalier/v1/RefitEquationsTask.ts';
import type { RefitTask__Output } from '../../shared/rpc/generated/espalier/v1/RefitTask.ts';
import type { TokenWeights__Output } from '../../shared/rpc/generated/espalier/v1/TokenWeights.ts';
import type { LocalModel } from '../model/local-model.ts';
import type { StoredStudent } from '../model/student.ts';
import type { TokenWeightsInput } from '../refit/token-weights.ts';
import type { RefitInput } from './refit.ts';
import type { RefitEquationsInput, RefitTaskInput } from './refit-equations.ts';
import type { NextRefit } from './refits.ts';
import { type BlobPaths, given, model, pathOf, range, requireChainable, subLayer, sums } from './request-fields.ts';

const INPUT_PARTS: readonly RefitPart[] = ['input', 'query', 'key_value'];

/** What a runner keeps of earlier requests. */
export interface ReadSources {
  plan(ref: BlobRef__Output | null, paths: BlobPaths): Promise<Plan>;
  student(local: LocalModel, set: MaskSet__Output, paths: BlobPaths): Promise<StoredStudent>;
}

/** @throws EspalierError "protocol". */
export async function readRefitEquations(
  task: RefitEquationsTask__Output,
  paths: BlobPaths,
  sources: ReadSources,
): Promise<RefitEquationsInput> {
  return { ...(await readPlace(task, paths, sources)), shards: range(task.shards), stays: task.stays };
}

/** @throws EspalierError "protocol". */
export async function readRefit(task: RefitTask__Output, paths: BlobPaths, sources: ReadSources): Promise<RefitInput> {
  return {
    ...(await readPlace(task, paths, sources)),
    fit: await sums(given(task.fit, 'fit'), paths),
    heldOut: task.heldOut === null ? null : await sums(task.heldOut, paths),
    settings: parseRefitSettings(task.settingsJson),
  };
}

/** What a task refits after its first. @throws EspalierError "protocol". */
export function readNext(task: RefitTask__Output): NextRefit[] {
  requireChainable(task);
  if (task.next.length > 0) wholePart(task.part);
  return task.next.map(nextRefit);
}

function nextRefit({ layer, subLayer: name, part, mean }: NextRefit__Output): NextRefit {
  return { layer, subLayer: subLayer(name), part: wholePart(part), mean };
}

/** Of several refits each makes a whole patch. */
function wholePart(text: string): RefitPart {
  const part = refitPart(text);
  if (part !== 'output' && part !== 'input')
    throw new EspalierError('protocol', `part of several refits: got "${part}", expected "" or "input"`);
  return part;
}

async function readPlace(
  task: RefitEquationsTask__Output | RefitTask__Output,
  paths: BlobPaths,
  sources: ReadSources,
): Promise<RefitTaskInput> {
  const local = model(task.model, paths);
  return {
    model: local,
    plan: await sources.plan(task.plan, paths),
    planDigest: given(task.plan, 'plan').digest,
    student: await sources.student(local, given(task.student, 'student'), paths),
    layer: task.layer,
    subLayer: subLayer(task.subLayer),
    part: refitPart(task.part),
    weights: task.weights === null ? null : readWeights(task.weights, paths),
  };
}

function refitPart(text: string): RefitPart {
  const part = text === '' ? 'output' : INPUT_PARTS.find((own) => own === text);
  if (part === undefined)
    throw new EspalierError('protocol', `part: got "${text}", expected "", "input", "query" or "key_value"`);
  return part;
}

function readWeights({ gradients, mean }: TokenWeights__Output, paths: BlobPaths): TokenWeightsInput {
  const files = gradients.map(({ shards, blob }) => ({
    shards: range(shards),
    path: pathOf(given(blob, 'token gradients').digest, paths),
  }));
  return { files, mean };
}
