// espalier report: the pages of jobs once more, from the folders that prune and fetch wrote.
import type { Command } from 'commander';
import { addValue, rawFlags } from '../command-options.ts';
import type { CliContext } from '../context.ts';
import { parseReportWords } from '../parse-report.ts';
import { writeJson } from '../with-cluster.ts';

const EXAMPLES = `
Examples:
  espalier report ./pruned
  espalier report ./campaign
  espalier report ./bert-seed-0 ./bert-seed-1 --out ./seeds.html
`;

export function addReportCommand(program: Command, context: CliContext): void {
  const command = program
    .command('report')
    .summary('write the HTML page of a job, or one that compares jobs')
    .description(
      'Writes report.html beside the budgets of each job, out of their report.json. Of several jobs, or a folder that ' +
        'holds several, it also writes a page that compares them.',
    )
    .usage('DIR... [--out FILE]')
    .argument('[DIR...]', 'output folders of prune or fetch, or folders of such');
  addValue(command, '--out <file>', 'file of the page (default: report.html in DIR; must be given to compare several)');
  command.option('--json', 'print JSON on standard output');
  command.addHelpText('after', EXAMPLES);
  command.action((folders: readonly string[]) => runReport(folders, command, context));
}

async function runReport(folders: readonly string[], command: Command, context: CliContext): Promise<void> {
  const settings = parseReportWords(folders, rawFlags(command));
  // Plotting takes a second to load, which no other command should wait for.
  const { writePages } = await import('../write-pages.ts');
  const pages = await writePages(settings, context.cwd);
  if (settings.json) writeJson(context, { pages });
  else for (const page of pages) context.stdout.write(`Page: ${page}\n`);
}
