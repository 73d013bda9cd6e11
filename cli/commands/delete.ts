// espalier delete: removes jobs that have ended.
import type { Command } from 'commander';
import { addJobChange } from '../change-jobs.ts';
import type { CliContext } from '../context.ts';

const EXAMPLES = `
Examples:
  espalier delete 3f2a
  espalier delete --campaign 77c0
`;

export function addDeleteCommand(program: Command, context: CliContext): void {
  addJobChange(program, context, {
    name: 'delete',
    summary: 'remove jobs that have ended',
    description: 'Removes jobs that have ended, with their results and events. Fetch what you want to keep first.',
    examples: EXAMPLES,
    states: ['done', 'failed', 'cancelled'],
    change: async (client, id) => {
      const job = await client.get(id);
      await client.delete(job.id);
      return job;
    },
    told: () => 'deleted',
  });
}
