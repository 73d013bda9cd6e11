// The commands but for the processes of a cluster, in the order in which help lists them. Each is loaded when the command line
// is about it: all of them together take longer to load than Node itself.
import type { Command } from 'commander';
import type { CliContext } from './context.ts';

type AddCommand = (program: Command, context: CliContext) => void;

export const COMMANDS: Readonly<Record<string, () => Promise<AddCommand>>> = {
  prune: async () => (await import('./commands/prune.ts')).addPruneCommand,
  evaluate: async () => (await import('./commands/evaluate.ts')).addEvaluateCommand,
  profile: async () => (await import('./commands/profile.ts')).addProfileCommand,
  inspect: async () => (await import('./commands/inspect.ts')).addInspectCommand,
  export: async () => (await import('./commands/export.ts')).addExportCommand,
  report: async () => (await import('./commands/report.ts')).addReportCommand,
  submit: async () => (await import('./commands/submit.ts')).addSubmitCommand,
  list: async () => (await import('./commands/list.ts')).addListCommand,
  status: async () => (await import('./commands/status.ts')).addStatusCommand,
  watch: async () => (await import('./commands/watch.ts')).addWatchCommand,
  logs: async () => (await import('./commands/logs.ts')).addLogsCommand,
  cancel: async () => (await import('./commands/cancel.ts')).addCancelCommand,
  retry: async () => (await import('./commands/retry.ts')).addRetryCommand,
  fetch: async () => (await import('./commands/fetch.ts')).addFetchCommand,
  delete: async () => (await import('./commands/delete.ts')).addDeleteCommand,
  health: async () => (await import('./commands/health.ts')).addHealthCommand,
};
