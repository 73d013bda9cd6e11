// What `npm run bench:gpu` finds, as its JSON file has it: nothing in it depends on a commit, a time or a folder.
import type { DeviceClass } from '../../../shared/rpc/protocol.ts';
import type { LengthDistribution, SyntheticModel } from '../synthetic-model.ts';

const WORKER_STAGES = ['fisher', 'tune', 'normal-equations', 'solve', 'evaluate', 'gradients', 'refit'] as const;
/** Whole jobs: with a worker of their own each, or one after the other with a worker that stays. */
export const JOB_STAGES = ['job', 'gradual-job', 'next-job', 'next-gradual-job'] as const;
export const STAGES = [...WORKER_STAGES, ...JOB_STAGES] as const;
export type Stage = (typeof STAGES)[number];

/** What is computed: equal definitions give equal samples. */
export interface WorkloadDefinition {
  readonly name: string;
  readonly model: SyntheticModel;
  readonly lengths: LengthDistribution;
  readonly samples: number;
  readonly seed: number;
  /** Share of the dense encoder's MACs that is kept. */
  readonly budget: number;
}

/** What the machine reaches at best, through the same engine. */
export interface Limits {
  /** A float32 product, under the device class's setting of TF32. */
  readonly product: { readonly size: number; readonly teraflopPerSecond: number };
  /** An elementwise operation: what it reads and writes. */
  readonly copy: { readonly bytes: number; readonly terabytesPerSecond: number };
}

export interface Spread {
  readonly median: number;
  readonly least: number;
  readonly most: number;
}

export interface StageFigures {
  /** A stage, or "job tune" and its like: a stage of the whole job. */
  readonly name: string;
  /** The warm-up, which the others do not count. */
  readonly firstSeconds: number;
  readonly seconds: Spread;
  /** Tokens that it goes through, without padding; null where it goes through none, or that is not known. */
  readonly tokens: number | null;
  /** See count-flop.ts; null where it is not counted. */
  readonly teraflop: number | null;
}

/** Calls of one TensorFlow operation, of uploads, downloads or releases of tensors, or of a kernel. */
export interface CallFigures {
  readonly name: string;
  readonly calls: number;
  readonly seconds: number;
}

/** What a GPU did while a stage ran as it is. */
export interface KernelFigures {
  /** Seconds in which a kernel or copy ran. */
  readonly busySeconds: number;
  /** The longest first. */
  readonly kernels: readonly CallFigures[];
}

/** Where a stage's seconds go. */
export interface StageProfile {
  /** "tune": sums and solves, also where they were asked for apart. */
  readonly stage: 'fisher' | 'tune' | 'evaluate' | 'gradients' | 'refit';
  /** One run of it after a warm-up, as it is. */
  readonly plainSeconds: number;
  /** Of that run: what the worker's tasks took, the rest being their coordinator's; and how long calls kept the thread that issues
   * them, the longest first: uploads and downloads wait for the device, the others do not where it is a GPU. */
  readonly host: { readonly taskSeconds: number; readonly calls: readonly CallFigures[] };
  /** One run with the device waited for around each call: calls, waiting and what the host does between. */
  readonly profiledSeconds: number;
  /** The same of this run, with its waits. */
  readonly calls: readonly CallFigures[];
  /** Of the run as it is; left out where they cannot be recorded. */
  readonly device?: KernelFigures;
}

export interface WorkloadFigures {
  readonly definition: WorkloadDefinition;
  readonly tokens: number;
  readonly paddedTokens: number;
  readonly shards: number;
  readonly microBatches: number;
  /** Seconds of what happens once: starting the engine; loading the model, with the first shard's forward pass. */
  readonly setUp: { readonly engineSeconds: number; readonly firstCallSeconds: number };
  /** Most memory in use: of the device, null where its driver does not tell; of tensors, as TensorFlow's allocator counts
   * them; of the process that ran the stages. */
  readonly peak: {
    readonly deviceBytes: number | null;
    readonly tensorBytes: number | null;
    readonly processBytes: number;
  };
  /** Padded tokens of a micro-batch at the most. */
  readonly tokensPerBatch: number;
  readonly stages: readonly StageFigures[];
  /** With --profile. */
  readonly profiles?: readonly StageProfile[];
}

export interface RunFigures {
  readonly schema: 1;
  readonly machine: string;
  readonly deviceClass: DeviceClass;
  readonly versions: { readonly espalier: string; readonly node: string };
  readonly repeats: number;
  readonly limits: Limits;
  readonly workloads: readonly WorkloadFigures[];
}

/** @throws RangeError without any. */
export function spreadOf(values: readonly number[]): Spread {
  if (values.length === 0) throw new RangeError('spread: got no value, expected one');
  const sorted = [...values].sort((a, b) => a - b);
  const middle = Math.floor(sorted.length / 2);
  const median = sorted.length % 2 === 1 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
  return { median, least: sorted[0], most: sorted[sorted.length - 1] };
}

/** Figures of a stage from the seconds of its runs, the first of them the warm-up. */
export function stageFigures(
  name: string,
  [firstSeconds, ...seconds]: readonly number[],
  work: Pick<StageFigures, 'tokens' | 'teraflop'>,
): StageFigures {
  return { name, firstSeconds, seconds: spreadOf(seconds), ...work };
}

/** TFLOP/s of a stage and its share of the machine's limit; null where its work is not counted. */
export function reached(
  { seconds, teraflop }: StageFigures,
  { product }: Limits,
): { readonly teraflopPerSecond: number; readonly shareOfLimit: number } | null {
  if (teraflop === null) return null;
  const teraflopPerSecond = teraflop / seconds.median;
  return { teraflopPerSecond, shareOfLimit: teraflopPerSecond / product.teraflopPerSecond };
}
