// The process that runs a workload's stages on the executor of a worker: the same requests as a job sends to one worker, the
// same plan, engine thread and tasks, without gRPC.
import path from 'node:path';
import { hasHeadDense } from '../../../checkpoint/weight-names.ts';
import { planTokens } from '../../../dataset/plan.ts';
import { computesUnpadded } from '../../../dataset/unpadded.ts';
import type { Masks } from '../../../pruning/masks.ts';
import { BlobStore } from '../../../shared/blobs/blob-store.ts';
import { Releases } from '../../../shared/lifecycle.ts';
import type { DeviceClass } from '../../../shared/rpc/protocol.ts';
import { parseWorkerConfig } from '../../../worker/config.ts';
import { createEngineExecutor } from '../../../worker/engine-executor.ts';
import { GpuMemory } from '../../../worker/gpu-memory.ts';
import { answerParent } from './child.ts';
import {
  batchShapes,
  type FlopShape,
  forwardFlop,
  maskGradientFlop,
  normalEquationsFlop,
  refitFlop,
} from './count-flop.ts';
import { type Stage, type StageFigures, stageFigures, type WorkloadFigures } from './figures.ts';
import { prepareWorkload } from './prepare-workload.ts';
import type { WorkloadFiles } from './workloads.ts';

export interface StagesStart {
  readonly files: WorkloadFiles;
  /** For blobs. */
  readonly folder: string;
  readonly stages: readonly Stage[];
  readonly repeats: number;
  readonly device: 'auto' | 'cpu' | 'gpu';
}

export interface StagesFound {
  readonly deviceClass: DeviceClass;
  /** SHA-256 of the plan. */
  readonly plan: string;
  readonly figures: WorkloadFigures;
}

const BLOB_LIMIT_BYTES = 1e11;
/** Never by itself: to ask the driver is to fork this process, which holds up what is timed. */
const MEMORY_LOOK_MS = 2 ** 31 - 1;
const TERA = 1e12;

answerParent<StagesStart, StagesFound>(async (start) => {
  const releases = new Releases();
  try {
    return await measure(start, releases);
  } finally {
    await releases.run();
  }
});

async function measure(start: StagesStart, releases: Releases): Promise<StagesFound> {
  const { files, folder, repeats, device } = start;
  const { definition } = files;
  const blobs = await BlobStore.open(path.join(folder, 'blobs'), { limitBytes: BLOB_LIMIT_BYTES });
  const command = parseWorkerConfig(['--device', device, '--blob-dir', path.join(folder, 'blobs')], process.env);
  if (command.kind === 'help') throw new Error('worker configuration: got its help');
  const engineStart = performance.now();
  const executor = await createEngineExecutor(command.config, blobs);
  const engineSeconds = secondsSince(engineStart);
  releases.add(() => executor.close());
  const { deviceClass } = executor.describe();
  const gpu = process.env.CUDA_VISIBLE_DEVICES ?? '0';
  const memory = deviceClass.kind === 'gpu' ? new GpuMemory(gpu, { lookMs: MEMORY_LOOK_MS }) : null;
  releases.add(() => memory?.close());

  const options = { folder, device, deviceClass, blobs, executor };
  const { config, planned, tokensPerBatch, masks, tasks, gradual } = await prepareWorkload(files, options, releases);
  const { plan } = planned;
  const tokens = planTokens(plan);

  const firstCallStart = performance.now();
  await tasks.evaluate([0]);
  const firstCallSeconds = secondsSince(firstCallStart);

  const lastQueries = hasHeadDense(config) ? 'first' : 'all';
  const shape = (kept: Masks | null): FlopShape => ({
    ...{ hiddenSize: config.hiddenSize, headSize: config.headSize, lastQueries },
    heads: kept === null ? config.headsByLayer : ones(kept.headMask, kept.layers),
    neurons: kept === null ? config.neuronsByLayer : ones(kept.neuronMask, kept.layers),
  });
  const dense = shape(null);
  const batches = batchShapes(plan, computesUnpadded(deviceClass, config.headSize));
  const asked = (...stages: Stage[]) => stages.some((stage) => start.stages.includes(stage));
  const found: StageFigures[] = [];
  if (asked('fisher')) {
    const runs = await times(repeats, () => timed(() => tasks.fisher()));
    found.push(stageFigures('fisher', runs, { tokens, teraflop: maskGradientFlop(dense, batches) / TERA }));
  }
  const tunedShapes = { dense, teacher: shape(masks.teacher), student: shape(masks.student) };
  const flop = normalEquationsFlop(tunedShapes, batches);
  if (asked('tune')) {
    const runs = await times(repeats, () => timed(() => tasks.tune()));
    found.push(stageFigures('tune', runs, { tokens, teraflop: flop / TERA }));
  }
  if (asked('normal-equations', 'solve')) {
    const runs = await times(repeats, () => tasks.tuneApart());
    const sums = runs.map(({ sumsSeconds }) => sumsSeconds);
    const solves = runs.map(({ solveSeconds }) => solveSeconds);
    if (asked('normal-equations'))
      found.push(stageFigures('normal-equations', sums, { tokens, teraflop: flop / TERA }));
    // How much a solve computes depends on how many rungs of damping it tries.
    if (asked('solve')) found.push(stageFigures('solve', solves, { tokens: null, teraflop: null }));
  }
  if (asked('evaluate')) {
    const all = plan.shards.map((_, shard) => shard);
    const runs = await times(repeats, () => timed(() => tasks.evaluate(all)));
    found.push(stageFigures('evaluate', runs, { tokens, teraflop: forwardFlop(dense, batches) / TERA }));
  }
  if (asked('gradients')) {
    const runs = await times(repeats, () => gradual.tasks.gradients());
    const teraflop = maskGradientFlop(shape(gradual.masks.from), batches) / TERA;
    found.push(stageFigures('gradients', runs, { tokens, teraflop }));
  }
  if (asked('refit')) {
    const runs = await times(repeats, () => gradual.tasks.refit());
    const teraflop = refitFlop(shape(gradual.masks.to), batches) / TERA;
    found.push(stageFigures('refit', runs, { tokens, teraflop }));
  }
  // TensorFlow keeps what it once took: asked once at the end, the most is not missed.
  await memory?.look();
  const figures: WorkloadFigures = {
    ...{
      definition,
      tokens,
      paddedTokens: batches.reduce((sum, { rows }) => sum + rows, 0),
      shards: plan.shards.length,
    },
    microBatches: batches.length,
    setUp: { engineSeconds, firstCallSeconds },
    tokensPerBatch,
    peak: {
      deviceBytes: memory?.peakBytes ?? null,
      tensorBytes: deviceClass.kind === 'gpu' ? executor.peakMemoryBytes() : null,
      processBytes: process.resourceUsage().maxRSS * 1024,
    },
    stages: found,
  };
  return { deviceClass, plan: planned.blob.digest, figures };
}

/** A warm-up and then as many runs as are counted. */
async function times<T>(repeats: number, run: () => Promise<T>): Promise<T[]> {
  const found: T[] = [];
  for (let repeat = -1; repeat < repeats; repeat++) found.push(await run());
  return found;
}

async function timed(run: () => Promise<void>): Promise<number> {
  const start = performance.now();
  await run();
  return secondsSince(start);
}

function secondsSince(start: number): number {
  return (performance.now() - start) / 1000;
}

/** Kept variables of each layer. */
function ones(mask: Uint8Array, layers: number): number[] {
  const size = mask.length / layers;
  return Array.from({ length: layers }, (_, layer) =>
    mask.subarray(layer * size, (layer + 1) * size).reduce((sum, bit) => sum + bit, 0),
  );
}
