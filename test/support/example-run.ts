// Runs that are seconds long, so that a test can reach into the middle of one: of the example model on generated reviews, and
// of a toy model.
import { execFile } from 'node:child_process';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { promisify } from 'node:util';
import { projectRoot } from '../../shared/project-root.ts';
import type { Workspace } from './run-cli.ts';
import { toyRows, writeRows } from './toy-data.ts';
import { writeToyModel } from './toy-model.ts';
import { until } from './until.ts';

const DEADLINE_MS = 60_000;

/** Words of a command line that prunes the example model to one half, by the published method unless the flags name one;
 * generates its data on the first call. */
export async function exampleRun(workspace: Workspace, out: string, ...flags: string[]): Promise<string[]> {
  const { data, dev } = await exampleData(workspace);
  const model = path.join(projectRoot(), 'examples/mini-sst2');
  return [
    ...['prune', model, '--data', data, '--eval', dev, '--budget', '0.5'],
    ...(flags.includes('--samples') ? [] : ['--samples', '512']),
    ...(flags.includes('--method') ? [] : ['--method', 'paper']),
    ...['--out', workspace.path(out), '--json', ...flags],
  ];
}

/** Words of a command line that prunes a toy model of twelve layers by the published method: little to compute and much to tune,
 * for tests that reach into its middle again and again. Makes it and its data on the first call. */
export async function deepRun(workspace: Workspace, out: string, ...flags: string[]): Promise<string[]> {
  const [model, data, dev] = ['deep', 'deep.jsonl', 'deep-dev.jsonl'].map((name) => workspace.path(name));
  if (!existsSync(dev)) {
    await writeToyModel(model, { layers: 12, hidden: 32, heads: 4, neurons: 64 });
    await writeRows(data, toyRows('sentence', { count: 200 }));
    await writeRows(dev, toyRows('sentence', { count: 40, seed: 1 }));
  }
  return [
    ...['prune', model, '--data', data, '--eval', dev, '--budget', '0.5', '--samples', '128', '--method', 'paper'],
    ...['--out', workspace.path(out), '--json', ...flags],
  ];
}

/** Labelled sentences to prune the example with and to measure it on; generated on the first call. */
export async function exampleData(workspace: Workspace): Promise<{ data: string; dev: string }> {
  const data = workspace.path('reviews.jsonl');
  const dev = workspace.path('reviews-dev.jsonl');
  if (!existsSync(dev)) {
    await generateReviews(data, 800, 1);
    await generateReviews(dev, 200, 2);
  }
  return { data, dev };
}

/** Resolves when the run of `out` has stored the tuning of this many sub-layers, and is not yet done with it. */
export async function tunedSubLayers(workspace: Workspace, out: string, count: number): Promise<void> {
  const stages = workspace.path(path.dirname(out), `.${path.basename(out)}.espalier/stages`);
  await until(`${count} sub-layers are tuned`, () => storedReports(stages) >= count, DEADLINE_MS);
}

function storedReports(stages: string): number {
  if (!existsSync(stages)) return 0;
  const plan = readdirSync(stages).find((name) => /^plan-[0-9a-f]+-\d+$/.test(name));
  const record = path.join(stages, plan ?? '', 'budget-0.5/tune.tensors.json');
  if (!existsSync(record)) return 0;
  return (JSON.parse(readFileSync(record, 'utf8')) as { body: { meta: { reports: unknown[] } } }).body.meta.reports
    .length;
}

/** Writes labelled sentences by the example's own program. */
export async function generateReviews(file: string, count: number, seed: number): Promise<void> {
  const program = path.join(projectRoot(), 'examples/generate-reviews.mjs');
  await promisify(execFile)(process.execPath, [program, file, String(count), String(seed)]);
}
