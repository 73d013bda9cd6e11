// `npm run test:faults`: every file of faults in turn, then one table of what each case cost. Words of the command line
// choose files by a part of their name.
import { spawn } from 'node:child_process';
import { readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { projectRoot } from '../../shared/project-root.ts';

const folder = path.join(projectRoot(), 'dist/test/faults');
const words = process.argv.slice(2);
const files = readdirSync(folder)
  .filter((name) => name.endsWith('.test.js'))
  .filter((name) => words.length === 0 || words.some((word) => name.includes(word)))
  .sort()
  .map((name) => path.join(folder, name));
if (files.length === 0) throw new Error(`no file of faults matches: ${words.join(' ')}`);

const table = path.join(tmpdir(), `espalier-faults-${process.pid}.txt`);
const flags = ['--enable-source-maps', '--test', '--test-concurrency=1', '--test-reporter=spec'];
const child = spawn(process.execPath, [...flags, ...files], {
  stdio: 'inherit',
  env: { ...process.env, ESPALIER_FAULT_TABLE: table },
});
// The tests end what they have started; a second Ctrl-C ends this too.
process.once('SIGINT', () => child.kill('SIGINT'));
child.once('exit', (code) => {
  process.exitCode = code ?? 1;
  try {
    console.log(aligned([['case', 'undisturbed', 'disturbed', 'lost'], ...rows(table)]));
    rmSync(table);
  } catch {
    console.log('no case came to its end');
  }
});

function rows(file: string): string[][] {
  const lines = readFileSync(file, 'utf8').trimEnd().split('\n');
  return lines.map((line) => line.split(' | '));
}

function aligned(cells: readonly (readonly string[])[]): string {
  const widths = cells[0].map((_, column) => Math.max(...cells.map((row) => row[column].length)));
  const pad = (text: string, column: number) =>
    column === 0 ? text.padEnd(widths[column]) : text.padStart(widths[column]);
  return cells.map((row) => row.map(pad).join('  ')).join('\n');
}
