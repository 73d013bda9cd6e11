// espalier coordinator, espalier worker: the processes of a cluster. They read their own flags.
import type { Command } from 'commander';

export const PROCESSES = ['coordinator', 'worker'] as const;

/** The process that the command line starts, or null for a command. */
export function processOf([name]: readonly string[]): (typeof PROCESSES)[number] | null {
  return PROCESSES.find((process) => process === name) ?? null;
}

/** Lists them among the commands; `runCommandLine` starts them. */
export function addProcessCommands(program: Command): void {
  program.command('coordinator').summary('run a coordinator of a cluster').usage('[flags]');
  program.command('worker').summary('run a worker').usage('[flags]');
}
