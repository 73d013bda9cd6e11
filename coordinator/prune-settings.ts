// What a prune job is asked to do: the one object that the command line (and later the job API) fills and the job reads.
import type { OnnxWeightDType } from '../checkpoint/onnx/onnx-model.ts';
import type { ColumnSettings } from '../dataset/columns.ts';
import type { TlsFiles } from '../shared/rpc/tls-files.ts';
import type { DType } from '../shared/tensor.ts';
import type { GradualSettings } from './gradual-settings.ts';

/** How a job prunes. "gradual": in steps, with output projections refitted after each; "paper": search, rearrangement and tuning
 * of scales, once; "rearrange" and "search" end the paper's method with that stage. */
export const METHODS = ['gradual', 'paper', 'rearrange', 'search'] as const;
export type Method = (typeof METHODS)[number];
export const DEFAULT_METHOD: Method = 'gradual';

/** The stage that makes what a method writes: the last that quality is told of. */
export type LastStage = 'gradual' | 'tune' | 'rearrange' | 'search';

export function lastStage(method: Method): LastStage {
  return method === 'paper' ? 'tune' : method;
}

/** Damping of the tuning solves: "ridge" is Espalier's, "reference" the exact solution of the published system. */
export type Damping = 'ridge' | 'reference';

/** How the search finds what to keep. "paper": the most important heads and neurons of the whole model; "knapsack": the
 * best count of each sub-layer; "uniform": all heads, and as many neurons in every layer alike. Budgets of time take the
 * knapsack in place of the paper's, whose costs must be proportional to counts. */
export type SearchKind = 'paper' | 'knapsack' | 'uniform';

/** What a budget limits; without a kind it is a share of the dense encoder's MACs. "latency": the share of the dense
 * encoder's time; "latency-ms": milliseconds of the encoder; "max-drop": what the task's metric may lose. */
export type BudgetKind = 'latency' | 'latency-ms' | 'max-drop';

/** What one pruned model of a job has to keep to. */
export interface Budget {
  /** Names the folder of the result: "0.5", as the user wrote it, or with its kind, such as "max-drop-0.01". */
  readonly text: string;
  readonly value: number;
  readonly kind?: BudgetKind;
}

/** What forward passes are timed in: ONNX Runtime, which most models are deployed in, and Espalier's own engine. */
export const RUNTIMES = ['onnxruntime', 'engine'] as const;
export type RuntimeName = (typeof RUNTIMES)[number];

/** How speed is measured: every batch size with every length, in both runtimes. */
export interface TimingSettings {
  /** The runtime that budgets of time mean, at the first batch size and length. */
  readonly runtime: RuntimeName;
  /** Empty: speed is not measured. Neither the command line nor a campaign says so, a spec in the store may. */
  readonly batchSizes: readonly number[];
  /** In tokens; empty: the mean length of the drawn samples. */
  readonly lengths: readonly number[];
  /** Of one operation in ONNX Runtime; 0: one a core. */
  readonly threads: number;
}

/** Part of the settings, named here for those who make them. */
export type { ColumnSettings };

/** What to prune and how, wherever the work runs and the output goes. */
export interface PruneRequest {
  /** Folder of the dense checkpoint. */
  readonly model: string;
  /** Calibration samples: .jsonl, .csv or .tsv. */
  readonly data: string;
  /** Held-out samples that quality is measured on; none: no quality is reported. */
  readonly evaluation: string | null;
  readonly columns: ColumnSettings;
  /** Distinct; shares of MACs each in (0, 1). */
  readonly budgets: readonly Budget[];
  /** With budgets of what may be lost: the confidence with which the loss must be within, in [0.5, 0.99]; left out: its
   * estimate decides. */
  readonly maxDropConfidence?: number;
  /** With budgets of what may be lost: the fastest model is sought, over shares of the dense model's time, not the smallest. */
  readonly fastest?: boolean;
  readonly seed: number;
  /** Calibration samples to draw. */
  readonly samples: number;
  readonly replacement: boolean;
  /** Samples a Fisher row; null: 32, or 12 for question answering. */
  readonly fisherGroup: number | null;
  readonly labels: 'data' | 'model';
  readonly method: Method;
  readonly search: SearchKind;
  /** Neurons of a layer are kept in multiples of this, none and all apart; one of NEURON_MULTIPLES, 1 with the paper's
   * search. */
  readonly neuronMultiple: number;
  readonly damping: Damping;
  /** Of the method "gradual" alone: what is not as by default, see `gradualSettings`; left out: everything is. */
  readonly gradual?: Partial<GradualSettings>;
  /** Mean sequence length that MACs are counted at; null: that of the drawn samples. */
  readonly macsLength: number | null;
  /** Longest input in tokens; null: 384 for question answering, else 128, never more than the model allows. */
  readonly maxLength: number | null;
  /** Overlap of question answering windows in tokens. */
  readonly stride: number;
  /** Metric that is reported first; null: the task's usual one. */
  readonly metric: string | null;
  readonly timing: TimingSettings;
  /** Data type of the written weights; null: as in the input. */
  readonly dtype: Extract<DType, 'F32' | 'F16' | 'BF16'> | null;
  /** Data type of the matrices of an ONNX file beside each written model; null, or left out: none is written. */
  readonly onnx?: OnnxWeightDType | null;
}

/** A job on one machine. */
export interface PruneSettings extends PruneRequest {
  /** Folder to write; must not exist unless `force`. */
  readonly out: string;
  readonly force: boolean;
  readonly resume: boolean;
  /** File of a latency table that budgets of time are searched by; left out: it is measured on a worker. */
  readonly latencyTable?: string;
  /** The table is of another machine, which the model is for; else such a table is refused. */
  readonly otherMachine?: boolean;
  /** Where the work runs. */
  readonly workers: WorkerSettings;
}

export interface WorkerSettings {
  /** Local worker processes to fork; 0 with addresses given; null: one a core. */
  readonly local: number | null;
  /** host:port of workers that already run. */
  readonly addresses: readonly string[];
  /** What those at `addresses` are reached with; null, or left out: no TLS. */
  readonly tls?: TlsFiles | null;
  readonly device: 'auto' | 'cpu' | 'gpu';
  /** What local workers compute with; left out: as their environment says. */
  readonly kernels?: 'auto' | 'fused' | 'plain';
}
