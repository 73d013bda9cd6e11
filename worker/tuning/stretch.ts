// Neighbouring micro-batches of a shard without their padding: what tuning works on at once. A row is a position, samples
// follow each other in the order of their micro-batches. Attention alone needs padded micro-batches, and gets them.
import type { ModelConfig } from '../../checkpoint/model-config.ts';
import type { EncodedSample } from '../../dataset/encoded-sample.ts';
import type { MicroBatch, Plan, Shard } from '../../dataset/plan.ts';
import type { DeviceTensor } from '../engine/engine.ts';
import type { Ops } from '../engine/ops.ts';
import { PackedUpload, unpack } from '../engine/packed-upload.ts';
import { type DeviceBatch, packBatch, unpackBatch } from '../model/device-batch.ts';

/** Numbers of micro-batches of a shard, end excluded. */
export interface BatchRange {
  readonly first: number;
  readonly end: number;
}

export interface DeviceStretch {
  /** Unpadded tokens. */
  readonly positions: number;
  readonly batches: readonly PaddedBatch[];
  /** int32 [positions]: rows of the padded micro-batches, one after the other, that are positions; null: all of them. */
  readonly positionRows: DeviceTensor | null;
  /** int32 [samples]: positions of first tokens. */
  readonly firstPositions: DeviceTensor;
}

interface PaddedBatch {
  readonly batch: DeviceBatch;
  /** int32 [b·n]: position of each of its rows, where it is padding that of the sample's first token; null where the stretch
   * is this micro-batch as it is. */
  readonly rowPositions: DeviceTensor | null;
}

const rangesOfPlans = new WeakMap<Plan, readonly (readonly BatchRange[])[]>();

/** A stretch keeps one sub-layer of what a gradient pass keeps all layers of, so that it takes less memory than that with
 * several times the positions: on a GPU, whose plans alone have micro-batches of more rows than this, fewer stretches are
 * fewer operations to issue. On a CPU larger ones only leave its caches. */
const CPU_ROWS = 2048;
const GPU_JOINED = 4;

/** How a shard's micro-batches are joined: as many as together have no more positions than the plan's largest micro-batch has
 * rows, or a few times as many in a GPU's plan, so that a plan for less memory has shorter stretches. Part of what makes
 * results equal: it follows from the plan. */
export function stretchesOf(plan: Plan, shardIndex: number): readonly BatchRange[] {
  let ranges = rangesOfPlans.get(plan);
  if (ranges === undefined) {
    const rows = plan.shards.flatMap(({ batches }) => batches.map(({ members, tokens }) => members.length * tokens));
    const largest = rows.reduce((most, count) => Math.max(most, count), 0);
    const most = largest > CPU_ROWS ? GPU_JOINED * largest : largest;
    ranges = plan.shards.map((shard) => joinBatches(plan, shard, most));
    rangesOfPlans.set(plan, ranges);
  }
  return ranges[shardIndex];
}

function joinBatches(plan: Plan, { batches }: Shard, most: number): BatchRange[] {
  const ranges: BatchRange[] = [];
  let first = 0;
  let positions = 0;
  batches.forEach((batch, i) => {
    const own = positionsOf(plan, batch);
    if (i > first && positions + own > most) {
      ranges.push({ first, end: i });
      first = i;
      positions = 0;
    }
    positions += own;
  });
  if (batches.length > first) ranges.push({ first, end: batches.length });
  return ranges;
}

/** Unpadded tokens of a micro-batch. */
export function positionsOf({ samples }: Pick<Plan, 'samples'>, { members }: MicroBatch): number {
  return members.reduce((sum, member) => sum + samples[member].tokenIds.length, 0);
}

/** Uploads micro-batches and what they are joined with. The tensors belong to the scope that is open.
 * @throws EspalierError "protocol" when a sample does not fit the model. */
export function uploadStretch(
  ops: Ops,
  samples: readonly EncodedSample[],
  batches: readonly MicroBatch[],
  config: ModelConfig,
): DeviceStretch {
  const upload = new PackedUpload();
  const packed = batches.map((batch) => packBatch(upload, samples, batch, config));
  const rows = packed.reduce((sum, batch) => sum + batch.samples * batch.tokens, 0);
  const positions = packed.reduce((sum, { lengths }) => sum + lengths.reduce((all, length) => all + length, 0), 0);
  const whole = rows === positions;
  const isAll = whole && packed.length === 1;
  const positionRows = new Int32Array(positions);
  const firstPositions: number[] = [];
  let position = 0;
  let row = 0;
  const places = packed.map((batch) => {
    const rowPositions = new Int32Array(batch.samples * batch.tokens);
    batch.lengths.forEach((length, sample) => {
      firstPositions.push(position);
      for (let token = 0; token < batch.tokens; token++) {
        const isToken = token < length;
        rowPositions[sample * batch.tokens + token] = position + (isToken ? token : 0);
        if (isToken) positionRows[position + token] = row + token;
      }
      position += length;
      row += batch.tokens;
    });
    return { batch, rowPositions: isAll ? null : upload.add(rowPositions, [rowPositions.length]) };
  });
  const rowsPart = whole ? null : upload.add(positionRows, [positions]);
  const firstPart = upload.add(Int32Array.from(firstPositions), [firstPositions.length]);
  return ops.engine.scope(() => {
    const sent = upload.send(ops);
    return {
      positions,
      batches: places.map(({ batch, rowPositions }) => ({
        batch: unpackBatch(ops, sent, batch),
        rowPositions: rowPositions && unpack(ops, sent, rowPositions),
      })),
      positionRows: rowsPart && unpack(ops, sent, rowsPart),
      firstPositions: unpack(ops, sent, firstPart),
    };
  });
}

/** Runs `body` on each padded micro-batch and joins its rows, without padding: [positions, …].
 * @param body makes [b·n, …]; it runs in a scope of its own. */
export function overBatches(
  ops: Ops,
  { batches, positionRows }: DeviceStretch,
  body: (padded: PaddedBatch) => DeviceTensor,
): DeviceTensor {
  const joined = ops.concat(
    batches.map((padded) => ops.engine.scope(() => body(padded))),
    0,
  );
  return positionRows === null ? joined : ops.gather(joined, positionRows);
}

/** All tensors of a stretch, for its owner to release. */
export function stretchTensors({ batches, positionRows, firstPositions }: DeviceStretch): DeviceTensor[] {
  const own = batches.flatMap(({ batch, rowPositions }) => {
    const { tokenIds, typeIds, firstRows, paddingBias } = batch;
    return [tokenIds, typeIds, firstRows, paddingBias, rowPositions];
  });
  return [...own, positionRows, firstPositions].filter((tensor) => tensor !== null);
}
