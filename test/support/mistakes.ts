// Mistakes in what `espalier prune` is given, each with the line and the exit code that it must end with, and small changes that
// spoil a model.
import assert from 'node:assert/strict';
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { before, describe, test } from 'node:test';
import type { ErrorCode } from '../../shared/errors.ts';
import { decodeSafetensors, encodeSafetensors } from '../../shared/safetensors.ts';
import type { NamedTensor } from '../../shared/tensor.ts';
import { descendantsOf } from './processes.ts';
import { assertFailed, assertNothingWritten, family, noneLeft, readJson, type Workspace } from './run-cli.ts';
import { type ToyRow, toyRows, writeRows } from './toy-data.ts';
import { type ToyModel, writeToyModel } from './toy-model.ts';

/** Every failure comes before any work starts; most take a third of a second on an idle machine. */
export const QUICK_SECONDS = 5;

/** Of the toy model that is spoilt. */
export const LABELS = ['wilted', 'green'];
/** Rows that fit it. */
export const GOOD = toyRows('named', { count: 20, labels: LABELS });
/** One of its weights, float32 [24, 24]. */
export const QUERY = 'bert.encoder.layer.1.attention.self.query.weight';

export interface Mistake {
  readonly code: ErrorCode;
  /** Parts of the line: what was got, what was expected, what to do. */
  readonly texts: readonly string[];
  /** Spoils a copy of the model. */
  readonly model?: (folder: string) => Promise<unknown>;
  readonly rows?: readonly ToyRow[];
  /** Replaces the data file; by its name and content. */
  readonly data?: readonly [name: string, content: string | Buffer];
  readonly toy?: ToyModel;
  /** Flags after the usual ones. */
  readonly flags?: (folder: string) => readonly string[];
  /** Flags left out. */
  readonly without?: readonly string[];
  readonly modelFolder?: string;
}

/** A test for each mistake, all of one subject: it ends quickly with its line, writes nothing and leaves no process. The first
 * is made as a user makes it, the others in the test's own process. */
export function describeMistakes(
  workspace: Workspace,
  subject: string,
  mistakes: Readonly<Record<string, Mistake>>,
): void {
  describe(subject, () => {
    before(() => mkdir(workspace.path('mistakes'), { recursive: true }));
    for (const [i, [name, mistake]] of Object.entries(mistakes).entries())
      test(name, () => expectMistake(workspace, name, mistake, i === 0));
  });
}

async function expectMistake(workspace: Workspace, name: string, mistake: Mistake, isProgram: boolean): Promise<void> {
  const folder = workspace.path('mistakes', name.replaceAll(/\W+/g, '-'));
  const model = await writeToyModel(path.join(folder, 'model'), { labels: LABELS, ...mistake.toy });
  await mistake.model?.(model);
  const [dataName, content] = mistake.data ?? ['data.jsonl', null];
  const data = path.join(folder, dataName);
  if (content === null) await writeRows(data, mistake.rows ?? GOOD);
  else await writeFile(data, content);
  const out = path.join(folder, 'out');
  const usual = { data, budget: '0.5', out, workers: '1' };
  const words = Object.entries(usual)
    .filter(([flag]) => !mistake.without?.includes(flag))
    .flatMap(([flag, value]) => [`--${flag}`, value]);
  const modelWord = mistake.modelFolder === undefined ? model : path.join(folder, mistake.modelFolder);
  const all = ['prune', modelWord, ...words, ...(mistake.flags?.(folder) ?? [])];
  const run = isProgram ? workspace.start(all) : null;
  const members = run === null ? [] : family(run);
  const finished = await (run === null ? workspace.runHere(all) : run.finished);
  assertFailed(finished, mistake.code, ...mistake.texts.map((text) => text.replaceAll('DIR', folder)));
  assert.ok(finished.seconds < QUICK_SECONDS, `took ${finished.seconds} s`);
  assertNothingWritten(out);
  await noneLeft(members);
  assert.deepEqual(descendantsOf(process.pid), []);
}

export const weightsOf = (folder: string) => path.join(folder, 'model.safetensors');

export async function changeConfig(folder: string, changes: Readonly<Record<string, unknown>>): Promise<void> {
  const config = readJson<object>(folder, 'config.json');
  await writeFile(path.join(folder, 'config.json'), JSON.stringify({ ...config, ...changes }));
}

export async function changeTensors(
  folder: string,
  change: (tensors: Map<string, NamedTensor>) => void,
): Promise<void> {
  const { tensors } = decodeSafetensors(await readFile(weightsOf(folder)), 'toy model');
  change(tensors);
  await writeFile(weightsOf(folder), encodeSafetensors([...tensors.values()]));
}

/** Changes the JSON header of the weights and leaves the data as it is. */
export async function changeHeader(folder: string, change: (header: string) => string): Promise<void> {
  const bytes = await readFile(weightsOf(folder));
  const headerBytes = Number(bytes.readBigUInt64LE());
  const json = Buffer.from(change(bytes.subarray(8, 8 + headerBytes).toString()));
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(BigInt(json.byteLength));
  await writeFile(weightsOf(folder), Buffer.concat([length, json, bytes.subarray(8 + headerBytes)]));
}

export async function changeNumber(folder: string, name: string, value: number): Promise<void> {
  await changeTensors(folder, (tensors) => {
    (tensors.get(name)!.data as Float32Array)[5] = value;
  });
}
