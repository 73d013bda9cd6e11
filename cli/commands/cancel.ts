// espalier cancel: asks for the end of jobs.
import type { Command } from 'commander';
import { addJobChange } from '../change-jobs.ts';
import type { CliContext } from '../context.ts';
import { stateText } from '../views/job-tables.ts';

const EXAMPLES = `
Examples:
  espalier cancel 3f2a
  espalier cancel 3f2a 90bc 11d4
  espalier cancel --campaign 77c0
`;

export function addCancelCommand(program: Command, context: CliContext): void {
  addJobChange(program, context, {
    name: 'cancel',
    summary: 'end jobs that wait or run',
    description: 'Ends jobs that wait or run; what they have finished is kept for a retry.',
    examples: EXAMPLES,
    states: ['queued', 'running'],
    change: (client, id) => client.cancel(id),
    told: stateText,
  });
}
