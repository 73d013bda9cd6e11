// Neighbouring micro-batches of a shard without their padding: what tuning works on at once. A row is a position, samples
// follow each other in the order of their micro-batches. Attention alone needs padded micro-batches, and gets them.
import type { ModelConfig } from '../../checkpoint/model-config.ts';
import type { EncodedSample } from '../../dataset/encoded-sample.ts';
import { type MicroBatch, type Plan, paddedRows as rowsOf, type Shard } from '../../dataset/plan.ts';
import type { DeviceTensor } from '../engine/engine.ts';
import type { AttendingSamples } from '../engine/kernels/kernels.ts';
import type { Ops } from '../engine/ops.ts';
import { PackedUpload, unpack } from '../engine/packed-upload.ts';
import { type DeviceBatch, extentsOf, packBatch, unpackBatch } from '../model/device-batch.ts';

/** Numbers of micro-batches of a shard, end excluded. */
export interface BatchRange {
  readonly first: number;
  readonly end: number;
}

export interface DeviceStretch {
  /** Unpadded tokens. */
  readonly positions: number;
  /** Of all micro-batches, without padding. */
  readonly samples: AttendingSamples;
  readonly batches: readonly DeviceBatch[];
  /** int32 [rows]: position of each row of the padded micro-batches, one after the other, where it is padding that of the sample's
   * first token; null where nothing is padded. */
  readonly rowPositions: DeviceTensor | null;
  /** int32 [positions]: rows of the padded micro-batches that are positions; null: all of them. */
  readonly positionRows: DeviceTensor | null;
  /** int32 [samples]: positions of first tokens. */
  readonly firstPositions: DeviceTensor;
}

const rangesOfPlans = new WeakMap<Plan, readonly (readonly BatchRange[])[]>();

/** A stretch keeps one sub-layer of what a gradient pass keeps all layers of, so that it takes less memory than that with
 * several times the positions: on a GPU, whose plans alone have micro-batches of more rows than this, fewer stretches are
 * fewer operations to issue. On a CPU larger ones only leave its caches. */
const CPU_ROWS = 2048;
const GPU_JOINED = 4;

/** How a shard's micro-batches are joined: as many as together have no more positions than the plan's largest micro-batch has
 * rows, or than a few times its positions in a GPU's plan, so that a plan for less memory has shorter stretches. Part of what makes
 * results equal: it follows from the plan. */
export function stretchesOf(plan: Plan, shardIndex: number): readonly BatchRange[] {
  let ranges = rangesOfPlans.get(plan);
  if (ranges === undefined) {
    const most = mostPositions(plan);
    ranges = plan.shards.map((shard) => joinBatches(plan, shard, most));
    rangesOfPlans.set(plan, ranges);
  }
  return ranges[shardIndex];
}

function mostPositions(plan: Plan): number {
  const batches = plan.shards.flatMap((shard) => shard.batches);
  const largest = (sizes: readonly number[]) => sizes.reduce((most, size) => Math.max(most, size), 0);
  const rows = largest(batches.map(rowsOf));
  // Memory is planned for rows, and where a GPU goes without padding for positions.
  return rows > CPU_ROWS ? GPU_JOINED * largest(batches.map((batch) => positionsOf(plan, batch))) : rows;
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
  const isPadded = rows > positions;
  const rowPositions = new Int32Array(rows);
  const positionRows = new Int32Array(positions);
  const firstPositions: number[] = [];
  const lengthsOfAll = packed.flatMap(({ lengths }) => [...lengths]);
  let position = 0;
  let row = 0;
  for (const { lengths, tokens } of packed)
    for (const length of lengths) {
      firstPositions.push(position);
      for (let token = 0; token < tokens; token++) {
        const isToken = token < length;
        rowPositions[row + token] = position + (isToken ? token : 0);
        if (isToken) positionRows[position + token] = row + token;
      }
      position += length;
      row += tokens;
    }
  const [rowsPart, positionsPart] = isPadded
    ? [upload.add(rowPositions, [rows]), upload.add(positionRows, [positions])]
    : [null, null];
  const firstPart = upload.add(Int32Array.from(firstPositions), [firstPositions.length]);
  const extents = extentsOf([...firstPositions, positions], lengthsOfAll);
  const extentsPart = upload.add(extents, [extents.length]);
  return ops.engine.scope(() => {
    const sent = upload.send(ops);
    return {
      positions,
      samples: {
        samples: lengthsOfAll.length,
        tokens: Math.max(...lengthsOfAll),
        extents: unpack(ops, sent, extentsPart),
        paddingBias: null,
      },
      batches: packed.map((batch) => unpackBatch(ops, sent, batch)),
      rowPositions: rowsPart && unpack(ops, sent, rowsPart),
      positionRows: positionsPart && unpack(ops, sent, positionsPart),
      firstPositions: unpack(ops, sent, firstPart),
    };
  });
}

/** Rows of each padded micro-batch, [b·n, …], from those of positions: one operation or two for all of them.
 * @param x [positions, …] */
export function paddedRows(ops: Ops, { batches, rowPositions }: DeviceStretch, x: DeviceTensor): DeviceTensor[] {
  const rows = rowPositions === null ? x : ops.gather(x, rowPositions);
  return ops.split(
    rows,
    batches.map(({ samples, tokens }) => samples * tokens),
    0,
  );
}

/** Runs `body` on each padded micro-batch and joins its rows, without padding: [positions, …].
 * @param body makes [b·n, …]; it runs in a scope of its own. */
export function overBatches(
  ops: Ops,
  { batches, positionRows }: DeviceStretch,
  body: (batch: DeviceBatch, index: number) => DeviceTensor,
): DeviceTensor {
  const joined = ops.concat(
    batches.map((batch, index) => ops.engine.scope(() => body(batch, index))),
    0,
  );
  return positionRows === null ? joined : ops.gather(joined, positionRows);
}

/** All tensors of a stretch, for its owner to release. */
export function stretchTensors(stretch: DeviceStretch): DeviceTensor[] {
  const { batches, samples, rowPositions, positionRows, firstPositions } = stretch;
  const own = batches.flatMap(({ tokenIds, typeIds, firstRows, extents, paddingBias }) => {
    return [tokenIds, typeIds, firstRows, extents, paddingBias];
  });
  return [...own, samples.extents, rowPositions, positionRows, firstPositions].filter((tensor) => tensor !== null);
}
