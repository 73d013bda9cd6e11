// The one error class of the project and its closed list of codes. Every failure that a user or a peer can see is an
// EspalierError; `toEspalierError` is the one place that turns anything else that was caught into one.

/** What a code means to each reader of it: the shell (exit code), gRPC (status), the scheduler (retryable), the user (action). */
interface CodeMeaning {
  /** Exit code of the command line; documented in the README. */
  readonly exitCode: number;
  /** Name of the gRPC status that carries this code between processes. */
  readonly grpcStatus: GrpcStatusName;
  /** True where the same task may succeed when it is sent again, to this worker or another. */
  readonly retryable: boolean;
  /** What the user can do, appended to a message that says nothing more specific. */
  readonly action: string;
}

type GrpcStatusName =
  | 'CANCELLED'
  | 'INVALID_ARGUMENT'
  | 'NOT_FOUND'
  | 'RESOURCE_EXHAUSTED'
  | 'FAILED_PRECONDITION'
  | 'UNAUTHENTICATED'
  | 'PERMISSION_DENIED'
  | 'ABORTED'
  | 'UNAVAILABLE'
  | 'INTERNAL'
  | 'DEADLINE_EXCEEDED';

// Exit codes: 1 a process that is not ready, 2 usage, 3 model, 4 data, 5 output or disk, 6 workers, 7 numbers that are not finite, 8 jobs of a cluster,
// 9 no model keeps what was asked, 70 a bug, 130 interrupted.
export const ERROR_CODES = {
  usage: { exitCode: 2, grpcStatus: 'INVALID_ARGUMENT', retryable: false, action: 'see `espalier --help`' },
  budget_out_of_range: {
    exitCode: 2,
    grpcStatus: 'INVALID_ARGUMENT',
    retryable: false,
    action: 'give a budget that lies in the range',
  },
  latency_table: {
    exitCode: 2,
    grpcStatus: 'INVALID_ARGUMENT',
    retryable: false,
    action: 'measure a table for this model, input shape, runtime and machine',
  },
  model_not_found: {
    exitCode: 3,
    grpcStatus: 'NOT_FOUND',
    retryable: false,
    action: 'give a folder with config.json and model.safetensors',
  },
  model_format: {
    exitCode: 3,
    grpcStatus: 'INVALID_ARGUMENT',
    retryable: false,
    action: 'save the model again with save_pretrained',
  },
  model_unsupported: {
    exitCode: 3,
    grpcStatus: 'INVALID_ARGUMENT',
    retryable: false,
    action: 'see the README for the models that can be read',
  },
  shape_mismatch: {
    exitCode: 3,
    grpcStatus: 'INVALID_ARGUMENT',
    retryable: false,
    action: 'check that config.json belongs to these weights',
  },
  weights_mismatch: {
    exitCode: 3,
    grpcStatus: 'INVALID_ARGUMENT',
    retryable: false,
    action: 'check that config.json belongs to these weights',
  },
  tokenizer_format: {
    exitCode: 3,
    grpcStatus: 'INVALID_ARGUMENT',
    retryable: false,
    action: 'save the tokenizer again with save_pretrained',
  },
  data_not_found: {
    exitCode: 4,
    grpcStatus: 'NOT_FOUND',
    retryable: false,
    action: 'give a .jsonl, .csv or .tsv file',
  },
  data_format: { exitCode: 4, grpcStatus: 'INVALID_ARGUMENT', retryable: false, action: 'correct the line' },
  data_label: {
    exitCode: 4,
    grpcStatus: 'INVALID_ARGUMENT',
    retryable: false,
    action: 'correct the label or name the label column',
  },
  data_empty: {
    exitCode: 4,
    grpcStatus: 'INVALID_ARGUMENT',
    retryable: false,
    action: 'give a file with at least one sample',
  },
  output_exists: {
    exitCode: 5,
    grpcStatus: 'FAILED_PRECONDITION',
    retryable: false,
    action: 'choose another --out or add --force',
  },
  output_locked: {
    exitCode: 5,
    grpcStatus: 'FAILED_PRECONDITION',
    retryable: false,
    action: 'wait for the other run or choose another --out',
  },
  output_unwritable: {
    exitCode: 5,
    grpcStatus: 'FAILED_PRECONDITION',
    retryable: false,
    action: 'check the permissions of the folder',
  },
  disk_full: { exitCode: 5, grpcStatus: 'RESOURCE_EXHAUSTED', retryable: false, action: 'free some space' },
  resume_mismatch: {
    exitCode: 5,
    grpcStatus: 'FAILED_PRECONDITION',
    retryable: false,
    action: 'resume with the settings of the first run or start over without --resume',
  },
  no_workers: {
    exitCode: 6,
    grpcStatus: 'UNAVAILABLE',
    retryable: false,
    action: 'start a worker and run again with --resume',
  },
  device_class_mismatch: {
    exitCode: 6,
    grpcStatus: 'FAILED_PRECONDITION',
    retryable: false,
    action: 'use workers of one kind of device and one version',
  },
  worker_unavailable: {
    exitCode: 6,
    grpcStatus: 'UNAVAILABLE',
    retryable: true,
    action: 'check that the worker runs and can be reached',
  },
  tls: {
    exitCode: 6,
    grpcStatus: 'UNAUTHENTICATED',
    retryable: false,
    action: 'check the certificates of both sides and the authority that each trusts',
  },
  wrong_role: {
    exitCode: 6,
    grpcStatus: 'PERMISSION_DENIED',
    retryable: false,
    action: 'use a certificate that was made for this role',
  },
  worker_busy: { exitCode: 6, grpcStatus: 'RESOURCE_EXHAUSTED', retryable: true, action: 'wait or add workers' },
  blob_missing: { exitCode: 6, grpcStatus: 'NOT_FOUND', retryable: true, action: 'send the blob and try again' },
  blob_corrupt: { exitCode: 6, grpcStatus: 'ABORTED', retryable: true, action: 'send the blob again' },
  limit_exceeded: {
    exitCode: 6,
    grpcStatus: 'RESOURCE_EXHAUSTED',
    retryable: false,
    action: 'use a smaller input or raise the limit',
  },
  protocol: {
    exitCode: 6,
    grpcStatus: 'INVALID_ARGUMENT',
    retryable: false,
    action: 'use the same version of coordinator and worker',
  },
  deadline: { exitCode: 6, grpcStatus: 'DEADLINE_EXCEEDED', retryable: true, action: 'try again' },
  out_of_memory: {
    exitCode: 6,
    grpcStatus: 'RESOURCE_EXHAUSTED',
    retryable: false,
    action: 'use a device with more memory, or a smaller --max-length',
  },
  engine: { exitCode: 6, grpcStatus: 'INTERNAL', retryable: true, action: 'run the set-up again' },
  // Of the worker that says so, for as long as it lives; another may have it.
  runtime_missing: {
    exitCode: 6,
    grpcStatus: 'FAILED_PRECONDITION',
    retryable: true,
    action: 'run the set-up again where the worker is',
  },
  not_finite: {
    exitCode: 7,
    grpcStatus: 'INVALID_ARGUMENT',
    retryable: false,
    action: 'check the model in the framework that it was trained in',
  },
  campaign_format: {
    exitCode: 2,
    grpcStatus: 'INVALID_ARGUMENT',
    retryable: false,
    action: 'correct the campaign file',
  },
  drop_exceeded: {
    exitCode: 9,
    grpcStatus: 'FAILED_PRECONDITION',
    retryable: false,
    action: 'allow a larger drop, or give more samples',
  },
  bus_unavailable: {
    exitCode: 8,
    grpcStatus: 'UNAVAILABLE',
    retryable: true,
    action: 'check that NATS runs and can be reached with these credentials',
  },
  coordinator_unavailable: {
    exitCode: 8,
    grpcStatus: 'UNAVAILABLE',
    retryable: true,
    action: 'check that a coordinator runs and can be reached',
  },
  coordinator_lost: {
    exitCode: 8,
    grpcStatus: 'ABORTED',
    retryable: false,
    action: 'see the logs of the coordinators, then retry the job',
  },
  lease_lost: {
    exitCode: 8,
    grpcStatus: 'ABORTED',
    retryable: true,
    action: 'another coordinator goes on with the job',
  },
  job_not_found: { exitCode: 8, grpcStatus: 'NOT_FOUND', retryable: false, action: 'see `espalier list`' },
  job_state: {
    exitCode: 8,
    grpcStatus: 'FAILED_PRECONDITION',
    retryable: false,
    action: 'see `espalier status` of the job',
  },
  job_failed: { exitCode: 8, grpcStatus: 'ABORTED', retryable: false, action: 'see `espalier logs` of the job' },
  store_full: {
    exitCode: 8,
    grpcStatus: 'RESOURCE_EXHAUSTED',
    retryable: false,
    action: 'delete finished jobs or give the store more room',
  },
  state_schema: {
    exitCode: 8,
    grpcStatus: 'FAILED_PRECONDITION',
    retryable: false,
    action: 'use a coordinator of the newer version',
  },
  not_serving: {
    exitCode: 1,
    grpcStatus: 'UNAVAILABLE',
    retryable: false,
    action: 'see what /readyz and the log of the process say',
  },
  cancelled: { exitCode: 130, grpcStatus: 'CANCELLED', retryable: false, action: 'run again with --resume' },
  internal: {
    exitCode: 70,
    grpcStatus: 'INTERNAL',
    retryable: false,
    action: 'this is a bug; report it with the command and the log',
  },
} as const satisfies Record<string, CodeMeaning>;

export type ErrorCode = keyof typeof ERROR_CODES;

/** A failure with a code from the closed list. The message is lower case, ids first, and says what was got and what was
 * expected; `action` says what to do when the message itself does not. */
/** One of several mistakes in what somebody wrote, with its place. */
export interface Problem {
  readonly code: ErrorCode;
  /** Keys and positions that lead to the place; empty: the whole. */
  readonly path: readonly (string | number)[];
  /** What was got and what was expected. */
  readonly text: string;
}

export interface ProblemList {
  readonly problems: readonly Problem[];
  /** Of all; there may be more than are listed. */
  readonly count: number;
}

export class EspalierError extends Error {
  readonly code: ErrorCode;
  readonly action: string;
  /** When to try again, as the one who refused estimates it; null: not said. */
  readonly retryAfterMs: number | null;
  /** What the message tells of in one line; null: it is about one thing. */
  readonly list: ProblemList | null;

  constructor(
    code: ErrorCode,
    message: string,
    options: { cause?: unknown; action?: string; retryAfterMs?: number; list?: ProblemList } = {},
  ) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.name = 'EspalierError';
    this.code = code;
    this.action = options.action ?? ERROR_CODES[code].action;
    this.retryAfterMs = options.retryAfterMs ?? null;
    this.list = options.list ?? null;
  }

  get exitCode(): number {
    return ERROR_CODES[this.code].exitCode;
  }

  get retryable(): boolean {
    return ERROR_CODES[this.code].retryable;
  }

  /** One line for a terminal: `[code] message; action`. */
  get line(): string {
    return `[${this.code}] ${this.message}; ${this.action}`.replace(/\s*\n\s*/g, ' ');
  }
}

/** Turns anything that was caught into an EspalierError; one that already is one passes unchanged.
 * System errors get the code that their errno stands for; everything else is "internal". */
export function toEspalierError(caught: unknown): EspalierError {
  if (caught instanceof EspalierError) return caught;
  const error = caught instanceof Error ? caught : new Error(String(caught));
  const errno = (error as NodeJS.ErrnoException).code;
  if (error.name === 'AbortError') return new EspalierError('cancelled', 'interrupted', { cause: caught });
  if (errno === 'ENOSPC' || errno === 'EDQUOT' || errno === 'EFBIG')
    return new EspalierError('disk_full', error.message, { cause: caught });
  if (errno === 'EACCES' || errno === 'EROFS' || errno === 'EPERM')
    return new EspalierError('output_unwritable', error.message, { cause: caught });
  return new EspalierError('internal', error.message, { cause: caught });
}

/** What was caught while `file` was written; one that tells of a full disk names the file, which the system's own does
 * not once the file is open. */
export function namingFile(file: string, caught: unknown): unknown {
  const error = toEspalierError(caught);
  if (error.code !== 'disk_full' || error.message.includes(file)) return caught;
  return new EspalierError('disk_full', `${file}: ${error.message}`, { cause: caught });
}
