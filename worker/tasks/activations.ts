// Task "activations": hidden states of teacher and student before a sub-layer, to hand shards to another worker in
// mid-tuning, and for inspection. They are those that the sums of this sub-layer start from, and stay here as well.

import { stepOf } from '../../pruning/sub-layers.ts';
import { EspalierError } from '../../shared/errors.ts';
import type { NamedTensor } from '../../shared/tensor.ts';
import { keyTensor, MOST_STATE_BYTES, SIDES, stateBytes } from '../tuning/given-states.ts';
import { statesKey } from '../tuning/tuning-pair.ts';
import { type NormalEquationsInput, tuningPair } from './normal-equations.ts';
import { shardsOf, type TaskContext } from './task-context.ts';

/** @returns the tensors that worker.proto names for ActivationsTask.
 * @param heldOnly only of what is kept here.
 * @throws EspalierError "limit_exceeded" for more shards than one answer may hold, "worker_unavailable" with `heldOnly`
 * where something is not kept. */
export async function runActivations(
  context: TaskContext,
  input: NormalEquationsInput,
  { heldOnly = false }: { readonly heldOnly?: boolean } = {},
): Promise<NamedTensor[]> {
  const { engine, states } = context;
  const { plan, shards } = input;
  shardsOf(plan, shards);
  const pair = await tuningPair(context, input);
  const { hiddenSize } = pair.student.config;
  const bytes = stateBytes(plan, shards, hiddenSize);
  if (bytes > MOST_STATE_BYTES)
    throw new EspalierError(
      'limit_exceeded',
      `activations: got shards ${shards.first} to ${shards.end} with ${bytes} bytes of states, expected at most ${MOST_STATE_BYTES}`,
      { action: 'ask for fewer shards at once' },
    );
  const step = stepOf(input.layer, input.subLayer);
  for (let shard = shards.first; heldOnly && shard < shards.end; shard++)
    if (!states.has(pair, shard, step))
      throw new EspalierError('worker_unavailable', `activations: got shard ${shard}, whose states are not kept here`);
  const tensors: NamedTensor[] = [keyTensor(statesKey(pair, step, shards))];
  let batch = 0;
  for (let shard = shards.first; shard < shards.end; shard++)
    states.visit(pair, shard, step, (state) => {
      context.checkCancelled();
      const [teacher, student] = SIDES.map((side) => engine.downloadFloat32(state[side]));
      let first = 0;
      for (const padded of state.stretch.batches) {
        const end = first + padded.lengths.reduce((sum, length) => sum + length * hiddenSize, 0);
        for (const [side, values] of [
          [SIDES[0], teacher],
          [SIDES[1], student],
        ] as const) {
          const data = values.slice(first, end);
          tensors.push({ name: `${side}.${batch}`, dtype: 'F32', shape: [data.length / hiddenSize, hiddenSize], data });
        }
        first = end;
        batch += 1;
      }
      return state.ahead;
    });
  return tensors;
}
