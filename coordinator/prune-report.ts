// report.json of one pruned model. Names of fields are stable: scripts read them.
import type { InputPart } from '../pruning/refit-part.ts';
import type { GradualSettings } from './gradual-settings.ts';
import type { Method, SearchKind } from './prune-settings.ts';
import type { MeasuredSpeed } from './stages/latency.ts';
import type { WorkerTime } from './workers/worker-times.ts';

/** The metric after each stage; null where the stage did not run or nothing was evaluated. */
export interface QualityByStage {
  readonly dense: number | null;
  readonly search: number | null;
  readonly rearrange: number | null;
  readonly tune: number | null;
  /** Of a gradual result; reports of earlier versions do not have it. */
  readonly gradual?: number | null;
}

export interface StageSeconds {
  readonly load: number;
  readonly fisher: number;
  readonly search: number;
  readonly rearrange: number;
  readonly tune: number;
  /** Of a gradual result: gradients, searches, refits and divergences of all of its steps. */
  readonly gradual?: number;
  readonly evaluate: number;
  readonly total: number;
}

/** How one sub-layer's tuning went. */
export interface TuningReport {
  readonly layer: number;
  readonly subLayer: 'attention' | 'ffn';
  readonly kept: number;
  /** Rung of the damping ladder that was taken, "unscaled" when none helped. */
  readonly rung: string;
  /** Mean squared residual of an output coordinate at held-out positions, with scales of 1 and with the scales taken;
   * null where nothing is held out. */
  readonly heldOutBefore: number | null;
  readonly heldOutAfter: number | null;
  readonly largestScale: number;
  /** Every rung that was tried, in order, with its held-out residual; null where it could not be solved or judged. */
  readonly tried: readonly { readonly rung: string; readonly heldOut: number | null }[];
}

/** How the refit of one sub-layer's output projection went, or of input projections. */
export interface RefitReport {
  readonly layer: number;
  readonly subLayer: 'attention' | 'ffn';
  /** Left out: the output projection. "input": query, key and value together, or the FFN's first projection; where first tokens
   * alone ask, "query" and "key_value" by themselves. */
  readonly part?: InputPart;
  /** Heads or neurons that feed the output, or whose inputs they are. */
  readonly kept: number;
  /** Lambda of the ridge that was taken, such as "ridge 0.01", or "unchanged". */
  readonly rung: string;
  /** Mean weighted squared error of an output coordinate at held-out positions, with the projection as the step found it and
   * as it left it; null where nothing is held out. */
  readonly heldOutBefore: number | null;
  readonly heldOutAfter: number | null;
  /** Every rung that was tried, in order, with its held-out error; null where it could not be solved or judged. */
  readonly tried: readonly { readonly rung: string; readonly heldOut: number | null }[];
}

/** One step of a gradual trajectory: from a student to a smaller one. */
export interface GradualStepReport {
  /** Share of the dense encoder's cost that the step was allowed: of MACs, or, with a budget of time, of time by the table. */
  readonly share: number;
  /** Encoder MACs of the step's student, at `macsLength`. */
  readonly macs: number;
  /** Heads and neurons kept, by layer. */
  readonly heads: readonly number[];
  readonly neurons: readonly number[];
  /** Of the step's student from the dense model on held-out samples: mean Kullback-Leibler divergence of an output in nats, of
   * regression the mean squared difference; null where nothing is held out. */
  readonly divergence: number | null;
  /** All numbers of heads that were tried, by falling importance, with the divergence of each; left out where importance
   * decides. */
  readonly splits?: readonly { readonly heads: number; readonly divergence: number }[];
  readonly seconds: {
    readonly gradients: number;
    readonly search: number;
    /** With its gradients; left out where nothing is rearranged. */
    readonly rearrange?: number;
    readonly refit: number;
    readonly divergence: number;
  };
  /** Of every sub-layer, in the order in which they run, its inputs first; one that keeps nothing has its bias refitted. Of
   * scales, which have no weights of positions: of every sub-layer that is tuned, with what `TuningReport` has. */
  readonly refits: readonly RefitReport[];
}

/** Of all that the step did. */
export function stepSeconds({ seconds }: GradualStepReport): number {
  return seconds.gradients + seconds.search + (seconds.rearrange ?? 0) + seconds.refit + seconds.divergence;
}

export interface ReportedData {
  /** As the user wrote it, without the folders of the machine. */
  readonly name?: string;
  readonly digest: string;
  readonly rows: number;
  readonly truncated: number;
}

/** Sums over the heads, and over the neurons, of each layer. */
export interface LayerImportance {
  readonly heads: readonly number[];
  readonly neurons: readonly number[];
}

/** A model's ONNX file. */
export interface OnnxReport {
  /** Data type of its matrices, float32 or float16. */
  readonly dtype: string;
  /** model.onnx, and after it model.onnx.data where the model is too large for one file. */
  readonly files: readonly { readonly name: string; readonly bytes: number; readonly sha256: string }[];
  /** All metrics of the task, from ONNX Runtime on these files; null where nothing was evaluated. */
  readonly scores: Readonly<Record<string, number>> | null;
}

/** A loss of the metric on calibration samples that were held out, from the dense model to a pruned one. */
export interface DropReport {
  /** Share of the dense encoder's MACs that the model may keep; where time was sought to be least, that it keeps. */
  readonly macs: number;
  /** Share of the dense model's time that it may take by the latency table; only where that was sought to be least. */
  readonly time?: number;
  /** The pruned model's metric. */
  readonly score: number;
  /** The dense model's metric less that; negative where the pruned model is better. */
  readonly drop: number;
  /** What the drop does not exceed, with the confidence of `boundConfidence`. */
  readonly bound: number;
  readonly within: boolean;
}

/** How the smallest model within an allowed loss was found. */
export interface MaxDropReport {
  readonly allowed: number;
  readonly metric: string;
  /** What is compared with `allowed`: the drop itself, or its bound. */
  readonly decidedBy: 'estimate' | 'bound';
  /** With which the choice is right, where the bound decided; null where the estimate did. */
  readonly confidence: number | null;
  /** Of each bound by itself. */
  readonly boundConfidence: number;
  readonly resamples: number;
  /** Examples that judged, and took part in nothing else; samples are more where questions have several windows. */
  readonly heldOut: { readonly examples: number; readonly samples: number };
  /** The dense model's metric. */
  readonly dense: number;
  /** What was tried, in the order in which it was, judged under masks. */
  readonly candidates: readonly DropReport[];
  /** The chosen one, judged as it was written. */
  readonly written: DropReport;
}

/** One try of a search by time: what the table said and what was measured. */
export interface LatencyRound {
  /** Share of the dense model's time that was searched for, and what the table says that the found masks take. */
  readonly share: number;
  readonly predicted: number;
  /** Medians, dense and pruned in turn. */
  readonly denseSeconds: number;
  readonly seconds: number;
  /** Measured time by what the budget allows. */
  readonly byGoal: number;
}

/** Seconds of a pass through one layer's sub-layers by what they keep, and through what pruning leaves as it is. */
export interface LatencyTableSeconds {
  /** [heads + 1]: with 0, 1, … heads. */
  readonly attention: readonly number[];
  /** At the counts that were measured, 0 and all among them. */
  readonly ffn: readonly { readonly neurons: number; readonly seconds: number }[];
  readonly rest: number;
}

export interface LatencyBudgetReport {
  /** "latency": the value is a share of the dense model's time; "latency-ms": milliseconds. */
  readonly kind: 'latency' | 'latency-ms';
  readonly value: number;
  readonly runtime: string;
  readonly batchSize: number;
  readonly tokens: number;
  /** The budget is met where the measured time differs from it by no more than this share. */
  readonly tolerance: number;
  readonly table: {
    readonly source: 'given' | 'cached' | 'measured';
    readonly runtime: string;
    readonly device: string;
    readonly threads: number;
    /** What the search read from it, of the dense model's sizes; none in reports of earlier versions. */
    readonly seconds?: LatencyTableSeconds;
  };
  /** Where times were measured; another one than the table's where a table of another machine was given. */
  readonly machine: string;
  /** Share of the dense model's time that was searched for in the end. */
  readonly share: number;
  readonly predictedShare: number;
  readonly rounds: readonly LatencyRound[];
  /** Of the exported model; null where it was not measured. */
  readonly measuredByGoal: number | null;
  /** null where nothing here can tell. */
  readonly met: boolean | null;
}

export interface PruneReport {
  readonly espalier: string;
  /** 1 in reports of earlier versions, whose `method` is "tune" where it now is "paper"; read-report.ts takes both. */
  readonly schema: 2;
  readonly model: { readonly name: string; readonly digest: string; readonly type: string };
  readonly data: ReportedData;
  readonly evaluation: ReportedData | null;
  /** Words of the `espalier` command that does the same; the same for all budgets of a job. */
  readonly command?: readonly string[];
  readonly seed: number;
  readonly samples: number;
  readonly replacement: boolean;
  readonly fisherGroup: number;
  readonly labels: 'data' | 'model';
  readonly method: Method;
  /** Of the tuning solves: of the method "paper" alone. */
  readonly damping: string;
  /** Of the method "gradual" alone; none in reports of earlier versions, where all was as by default. */
  readonly gradual?: GradualSettings;
  readonly search: SearchKind;
  readonly neuronMultiple: number;
  /** True where all layers have the same shape and config.json is one of transformers'. */
  readonly uniform: boolean;
  /** Share of MACs that the model was allowed; of `--max-drop`, the one that was chosen. */
  readonly budget: number;
  readonly task: string;
  readonly metric: string | null;
  readonly quality: QualityByStage;
  /** All metrics of the task, by stage. */
  readonly scores: Readonly<Record<string, Readonly<Record<string, number>>>>;
  /** Encoder MACs of one sample of `macsLength` tokens. */
  readonly macs: { readonly dense: number; readonly pruned: number };
  readonly macsLength: number;
  readonly parameters: { readonly dense: number; readonly pruned: number };
  /** Size of the weight files in bytes. */
  readonly bytes: { readonly dense: number; readonly pruned: number };
  /** Diagonal Fisher information of the dense model, which the search went by. */
  readonly importance?: LayerImportance;
  /** Heads and neurons that each layer of the dense model has. */
  readonly denseLayer?: { readonly heads: number; readonly neurons: number };
  /** Heads and neurons kept, by layer. */
  readonly heads: readonly number[];
  readonly neurons: readonly number[];
  readonly tuning: readonly TuningReport[];
  /** Of the method "gradual" alone: from the dense model to this one. */
  readonly steps?: readonly GradualStepReport[];
  /** Of `--max-drop` alone. */
  readonly maxDrop?: MaxDropReport;
  /** Medians in the engine at the first shape of `speed`; null when not measured. */
  readonly latency: {
    readonly batchSize: number;
    readonly tokens: number;
    readonly repeats: number;
    readonly denseSeconds: number;
    readonly prunedSeconds: number;
  } | null;
  /** Every runtime at every shape that was asked for, each dense and pruned in turn in one run. */
  readonly speed: readonly MeasuredSpeed[];
  /** With a budget of time alone. */
  readonly latencyBudget?: LatencyBudgetReport;
  readonly seconds: StageSeconds;
  readonly workers: number;
  /** What each worker did, of all budgets, in the run that wrote this report. */
  readonly workerTimes?: readonly WorkerTime[];
  readonly deviceClass: Readonly<Record<string, string | number | boolean>>;
  /** Padded tokens of a micro-batch of the plan at the most. */
  readonly tokensPerBatch?: number;
  /** SHA-256 of the plan: the drawn samples, shards and micro-batches. */
  readonly plan: string;
  /** Data type of the written weights. */
  readonly dtype: string;
  /** SHA-256 of the pruned model.safetensors. */
  readonly digest: string;
  /** The ONNX file beside it; null where none was asked for. */
  readonly onnx?: OnnxReport | null;
}
