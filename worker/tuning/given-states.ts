// Hidden states as they travel: what an activations task returns, and what a normal-equations task may start from. Both
// name what the states depend on (model, plan, masks, scales, sub-layer, shards) by content, so that those of another
// sub-layer or student, which could have the same shapes, are never used.
import type { Plan } from '../../dataset/plan.ts';
import { EspalierError, toEspalierError } from '../../shared/errors.ts';
import { openSafetensors, type SafetensorsFile } from '../../shared/safetensors.ts';
import { elementCount, type NamedTensor, viewAs } from '../../shared/tensor.ts';
import { type ShardRange, shardsOf } from '../tasks/task-context.ts';
import { positionsOf } from './stretch.ts';

/** Tensor "key", U8: text that names what the states depend on. */
export const KEY_TENSOR = 'key';

/** Bytes of states that one task may return: a smaller range of shards is asked for where there would be more. */
export const MOST_STATE_BYTES = 2 ** 31;

export type Side = 'teacher' | 'student';
export const SIDES: readonly Side[] = ['teacher', 'student'];

/** A micro-batch's states, [positions, hiddenSize] each: unpadded tokens, a sample after the other. */
export type HostStates = Readonly<Record<Side, Float32Array>>;

/** The states of a shard by the number of its micro-batch, or null where there are none of this shard.
 * @throws EspalierError "protocol" where a number is not finite. */
export type StatesOfShard = (shard: number) => ((batch: number) => HostStates) | null;

export interface GivenStates {
  readonly ofShard: StatesOfShard;
  close(): Promise<void>;
}

export function keyTensor(key: string): NamedTensor {
  const data = new TextEncoder().encode(key);
  return { name: KEY_TENSOR, dtype: 'U8', shape: [data.length], data };
}

/** Opens a file of states and checks all of it but the numbers.
 * @throws EspalierError "protocol" unless it holds the states of exactly these shards before this sub-layer. */
export async function openGivenStates(
  path: string,
  expected: { readonly key: string; readonly plan: Plan; readonly shards: ShardRange; readonly hiddenSize: number },
): Promise<GivenStates> {
  const file = await openSafetensors(path, 'states').catch((caught) => {
    const error = toEspalierError(caught);
    throw error.code === 'model_format' ? new EspalierError('protocol', error.message, { cause: caught }) : error;
  });
  try {
    return await checked(file, expected);
  } catch (caught) {
    await file.close();
    throw caught;
  }
}

/** Opens several files of states, as `openGivenStates` each; the first that has a shard gives it. */
export async function openManyStates(
  files: readonly { readonly path: string; readonly key: string; readonly shards: ShardRange }[],
  of: { readonly plan: Plan; readonly hiddenSize: number },
): Promise<GivenStates> {
  const open: GivenStates[] = [];
  const close = async () => {
    for (const states of open) await states.close();
  };
  try {
    for (const { path, key, shards } of files) open.push(await openGivenStates(path, { ...of, key, shards }));
  } catch (caught) {
    await close();
    throw caught;
  }
  return {
    ofShard(shard) {
      for (const states of open) {
        const found = states.ofShard(shard);
        if (found !== null) return found;
      }
      return null;
    },
    close,
  };
}

async function checked(
  file: SafetensorsFile,
  { key, plan, shards, hiddenSize }: Parameters<typeof openGivenStates>[1],
): Promise<GivenStates> {
  const firstBatches = new Map<number, number>();
  const rows: number[] = [];
  shardsOf(plan, shards).forEach((shard, i) => {
    firstBatches.set(shards.first + i, rows.length);
    for (const batch of shard.batches) rows.push(positionsOf(plan, batch));
  });
  const { entries } = file;
  const keyEntry = entries.get(KEY_TENSOR);
  // Compared by length first: a peer chose how long it is.
  const isSame =
    keyEntry?.dtype === 'U8' &&
    keyEntry.bytes === new TextEncoder().encode(key).length &&
    new TextDecoder().decode(await keyEntry.read()) === key;
  if (!isSame) throw new EspalierError('protocol', 'states: got those of another sub-layer, student, plan or range');
  if (entries.size !== 2 * rows.length + 1)
    throw new EspalierError('protocol', `states: got ${entries.size} tensors, expected ${2 * rows.length + 1}`);
  for (const side of SIDES)
    rows.forEach((count, batch) => {
      const name = `${side}.${batch}`;
      const entry = entries.get(name);
      const got = entry === undefined ? 'nothing' : `${entry.dtype} [${entry.shape}]`;
      if (got !== `F32 [${[count, hiddenSize]}]`)
        throw new EspalierError('protocol', `states: ${name}: got ${got}, expected F32 [${count},${hiddenSize}]`);
    });
  const read = (name: string): Float32Array => {
    const values = viewAs('F32', entries.get(name)!.readSync()) as Float32Array;
    const at = values.findIndex((value) => !Number.isFinite(value));
    if (at >= 0)
      throw new EspalierError('protocol', `states: ${name} ${at}: got ${values[at]}, expected a finite number`);
    return values;
  };
  return {
    ofShard(shard) {
      const first = firstBatches.get(shard);
      if (first === undefined) return null;
      return (batch) => ({ teacher: read(`teacher.${first + batch}`), student: read(`student.${first + batch}`) });
    },
    close: () => file.close(),
  };
}

/** Bytes of the states of these shards. */
export function stateBytes(plan: Plan, shards: ShardRange, hiddenSize: number): number {
  const rows = shardsOf(plan, shards).reduce(
    (sum, shard) => sum + shard.batches.reduce((own, batch) => own + positionsOf(plan, batch), 0),
    0,
  );
  return elementCount([2, rows, hiddenSize]) * Float32Array.BYTES_PER_ELEMENT;
}
