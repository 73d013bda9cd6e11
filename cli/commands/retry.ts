// espalier retry: queues jobs again that failed or were cancelled.
import type { Command } from 'commander';
import { addJobChange } from '../change-jobs.ts';
import type { CliContext } from '../context.ts';
import { stateText } from '../views/job-tables.ts';

const EXAMPLES = `
Examples:
  espalier retry 3f2a
  espalier retry --campaign 77c0
`;

export function addRetryCommand(program: Command, context: CliContext): void {
  addJobChange(program, context, {
    name: 'retry',
    summary: 'queue failed or cancelled jobs again',
    description: 'Queues jobs again that failed or were cancelled; they go on after their last finished stage.',
    examples: EXAMPLES,
    states: ['failed', 'cancelled'],
    change: (client, id) => client.retry(id),
    told: stateText,
  });
}
