// What a job tells while it runs. The command line draws progress from these; the cluster publishes them.

/** "gradients", "search", "refit" and "divergence" are those of a gradual step, whose `budget` is the share of the step; gradients
 * are of the student that it starts from, of the dense model without a share. */
export type Stage =
  | 'load'
  | 'profile'
  | 'fisher'
  | 'gradients'
  | 'search'
  | 'rearrange'
  | 'tune'
  | 'refit'
  | 'divergence'
  | 'export'
  | 'evaluate'
  | 'latency';

export type JobEvent =
  /** A stage began; `budget` is absent for stages that all budgets share; `steps` is how many steps will follow. */
  | { readonly kind: 'stage-started'; readonly stage: Stage; readonly budget?: string; readonly steps: number }
  /** One more step of the running stage is done. */
  | {
      readonly kind: 'stage-progress';
      readonly stage: Stage;
      readonly budget?: string;
      readonly done: number;
      readonly steps: number;
    }
  /** The stage ended and is stored, while the next one may run; `reused` when its stored output of an earlier run was taken instead. */
  | {
      readonly kind: 'stage-finished';
      readonly stage: Stage;
      readonly budget?: string;
      readonly seconds: number;
      readonly reused: boolean;
      readonly note?: string;
    }
  | { readonly kind: 'worker-joined'; readonly worker: string; readonly device: string }
  | { readonly kind: 'worker-lost'; readonly worker: string; readonly reason: string }
  /** Something that the user should know and that stops nothing (texts truncated, a layer left untuned). */
  | { readonly kind: 'notice'; readonly text: string };
