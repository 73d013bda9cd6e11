// What a worker tells of a ladder of solves, as the user's report has it.
import { EspalierError } from '../../shared/errors.ts';
import type { TensorData } from '../../shared/tensor.ts';

/** Rungs that a ladder has at most, and characters that name one. */
const MOST_RUNGS = 64;
const MOST_NAME = 64;

export interface LadderReport {
  /** Rung that was taken. */
  readonly rung: string;
  readonly heldOutBefore: number | null;
  readonly heldOutAfter: number | null;
  readonly tried: readonly { readonly rung: string; readonly heldOut: number | null }[];
}

/** Reads a task's "report" tensor: it goes into the user's report, so what has another form is refused here, not told.
 * @param task its id, for messages. @throws EspalierError "protocol". */
export function readLadderReport(task: string, bytes: TensorData | undefined): LadderReport {
  const refuse = (got: string, cause?: unknown) =>
    new EspalierError('protocol', `${task}: report: got ${got}, expected JSON of a rung and what was tried`, { cause });
  if (!(bytes instanceof Uint8Array)) throw refuse('nothing');
  let report: Partial<LadderReport> | null;
  try {
    report = JSON.parse(new TextDecoder().decode(bytes)) as Partial<LadderReport> | null;
  } catch (cause) {
    throw refuse('no JSON', cause);
  }
  const isResidual = (value: unknown) => value === null || typeof value === 'number';
  const isName = (value: unknown) => typeof value === 'string' && value.length <= MOST_NAME;
  const { rung, heldOutBefore, heldOutAfter, tried } = report ?? {};
  const isWhole =
    isName(rung) &&
    isResidual(heldOutBefore) &&
    isResidual(heldOutAfter) &&
    Array.isArray(tried) &&
    tried.length <= MOST_RUNGS &&
    tried.every((one) => isName(one?.rung) && isResidual(one.heldOut));
  if (!isWhole) throw refuse('another form');
  const { tried: rungs, ...kept } = { rung, heldOutBefore, heldOutAfter, tried } as LadderReport;
  return { ...kept, tried: rungs.map((one) => ({ rung: one.rung, heldOut: one.heldOut })) };
}
