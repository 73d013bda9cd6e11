// What an evaluate job is asked to do and what it answers.
import type { ColumnSettings, WorkerSettings } from './prune-settings.ts';

export interface EvaluateSettings {
  /** Folder of the checkpoint, dense or pruned. */
  readonly model: string;
  /** Samples with labels: .jsonl, .csv or .tsv. */
  readonly data: string;
  readonly columns: ColumnSettings;
  /** Metric that is reported first; null: the task's usual one. */
  readonly metric: string | null;
  /** Longest input in tokens; null: 384 for question answering, else 128, never more than the model allows. */
  readonly maxLength: number | null;
  /** Overlap of question answering windows in tokens. */
  readonly stride: number;
  readonly workers: WorkerSettings;
}

/** What `espalier evaluate --json` prints. Names of fields are stable: scripts read them. */
export interface EvaluateReport {
  readonly espalier: string;
  readonly model: { readonly name: string; readonly digest: string; readonly type: string };
  readonly data: { readonly digest: string; readonly rows: number; readonly truncated: number };
  readonly task: string;
  readonly metric: string;
  /** All metrics of the task. */
  readonly scores: Readonly<Record<string, number>>;
  readonly samples: number;
  readonly seconds: number;
}
