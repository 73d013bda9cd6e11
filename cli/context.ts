// What a command gets from the process that runs it, so that tests can run commands in their own.
import type { CheckpointDescription } from '../checkpoint/inspect.ts';
import type { CheckOptions } from '../coordinator/campaign/check-inputs.ts';
import type { OpenedCampaign } from '../coordinator/campaign/open-campaign.ts';
import type { EvaluateReport, EvaluateSettings } from '../coordinator/evaluate-settings.ts';
import type { ExportReport, ExportSettings } from '../coordinator/export-job.ts';
import type { JobEvent } from '../coordinator/job-events.ts';
import type { LatencyProfile, ProfileSettings } from '../coordinator/profile-job.ts';
import type { PruneReport } from '../coordinator/prune-report.ts';
import type { PruneSettings } from '../coordinator/prune-settings.ts';
import type { ClusterClient } from './client/cluster-client.ts';
import type { ClusterSettings } from './parse-cluster.ts';
import type { OutputSettings } from './parse-common.ts';
import { Progress } from './progress.ts';
import type { TextSink } from './views/terminal.ts';

export interface JobContext {
  readonly signal: AbortSignal;
  onEvent(event: JobEvent): void;
}

/** The work behind the commands. */
export interface Jobs {
  prune(settings: PruneSettings, context: JobContext): Promise<PruneReport[]>;
  evaluate(settings: EvaluateSettings, context: JobContext): Promise<EvaluateReport>;
  profile(settings: ProfileSettings, context: JobContext): Promise<LatencyProfile>;
  inspect(directory: string): Promise<CheckpointDescription>;
  export(settings: ExportSettings, signal: AbortSignal): Promise<ExportReport>;
}

/** What the commands of a cluster need. */
export interface Cluster {
  /** See ClusterClient.open. */
  connect(settings: ClusterSettings, signal: AbortSignal): Promise<ClusterClient>;
  /** See openCampaign of coordinator/campaign. */
  openCampaign(file: string, options: CheckOptions): Promise<OpenedCampaign>;
  /** See shared/rpc/ask-health.ts. */
  askHealth(address: string, service: string): Promise<void>;
  /** The whole life of a coordinator or a worker in this process. */
  serve(program: 'coordinator' | 'worker', words: readonly string[], env: NodeJS.ProcessEnv): Promise<void>;
}

export interface CliContext {
  readonly stdout: TextSink;
  readonly stderr: TextSink;
  readonly env: NodeJS.ProcessEnv;
  readonly cwd: string;
  /** Aborted with an EspalierError "cancelled" when the user interrupts. */
  readonly signal: AbortSignal;
  /** Milliseconds of any clock that only goes forward. */
  readonly now: () => number;
  /** Is called on the way out of the process whatever happens. @returns a function that takes the callback back. */
  onExit(callback: () => void): () => void;
  readonly jobs: Jobs;
  readonly cluster: Cluster;
}

/** Runs a job with its progress on standard error; the progress line is gone when this returns or throws. */
export async function withProgress<Result>(
  context: CliContext,
  output: OutputSettings,
  job: (jobContext: JobContext) => Promise<Result>,
): Promise<Result> {
  const { stderr, env, now } = context;
  const progress = new Progress({ sink: stderr, quiet: output.quiet, terminal: env.TERM, now });
  const close = () => progress.close();
  const forget = context.onExit(close);
  try {
    return await job({ signal: context.signal, onEvent: (event) => progress.onEvent(event) });
  } finally {
    close();
    forget();
  }
}
