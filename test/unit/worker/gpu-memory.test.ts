// The watch of a GPU's memory, on a stand-in for nvidia-smi.
import assert from 'node:assert/strict';
import { chmodSync, existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, it } from 'node:test';
import { GpuMemory } from '../../../worker/gpu-memory.ts';
import { until } from '../../support/until.ts';

const folder = mkdtempSync(path.join(tmpdir(), 'espalier-gpu-'));
after(() => rmSync(folder, { recursive: true }));

function program(name: string, script: string): string {
  const file = path.join(folder, name);
  writeFileSync(file, `#!/bin/sh\necho "$*" >> ${file}.calls\n${script}\n`);
  chmodSync(file, 0o755);
  return file;
}

const callsOf = (file: string) =>
  existsSync(`${file}.calls`) ? readFileSync(`${file}.calls`, 'utf8').trim().split('\n') : [];

it('keeps the most that was in use on its GPU', async () => {
  const answer = path.join(folder, 'answer');
  writeFileSync(answer, '1000\n');
  const smi = program('smi', `cat ${answer}`);
  const memory = new GpuMemory('GPU-3', { program: smi, lookMs: 5 });
  await until('a first look', () => memory.peakBytes === 1000 * 1024 * 1024);
  writeFileSync(answer, '4000\n');
  await until('more', () => memory.peakBytes === 4000 * 1024 * 1024);
  writeFileSync(answer, '2000\n');
  const { length } = callsOf(smi);
  await until('another look', () => callsOf(smi).length > length + 1);
  assert.equal(memory.peakBytes, 4000 * 1024 * 1024);
  memory.close();
  assert.equal(callsOf(smi)[0], '--id=GPU-3 --query-gpu=memory.used --format=csv,noheader,nounits');
});

it('gives up after three looks where nothing tells', async () => {
  const broken = program('broken', 'echo "[N/A]"');
  const working = program('working', 'echo 7');
  const memories = [broken, working].map((smi) => new GpuMemory('0', { program: smi, lookMs: 5 }));
  await until('three looks', () => callsOf(broken).length === 3);
  const { length } = callsOf(working);
  await until('many looks of the other', () => callsOf(working).length > length + 5);
  assert.equal(callsOf(broken).length, 3);
  assert.equal(memories[0].peakBytes, null);
  for (const memory of memories) memory.close();
});

it('does not mind that there is no such program', async () => {
  const working = new GpuMemory('0', { program: program('other', 'echo 7'), lookMs: 5 });
  const missing = new GpuMemory('0', { program: path.join(folder, 'missing'), lookMs: 5 });
  await until('a look of the other', () => working.peakBytes !== null);
  assert.equal(missing.peakBytes, null);
  for (const memory of [working, missing]) memory.close();
});
