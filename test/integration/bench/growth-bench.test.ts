// `npm run bench:growth` with tiny models: a curve of whole jobs with its table, drawings and check.
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, it } from 'node:test';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import type { GrowthFigures } from '../../bench/growth/figures.ts';

const PROGRAM = fileURLToPath(new URL('../../bench/growth.js', import.meta.url));
const folder = mkdtempSync(path.join(tmpdir(), 'espalier-growth-bench-'));
after(() => rmSync(folder, { recursive: true }));

const bench = (...flags: string[]) => promisify(execFile)(process.execPath, [PROGRAM, ...flags]);

it('measures a curve of jobs, writes it in every form and judges it', async () => {
  const at = (name: string) => path.join(folder, name);
  const files = ['--json', at('growth.json'), '--markdown', at('growth.md'), '--charts', at('charts'), '--check'];
  const sizes = ['--hidden', '16', '--heads', '2', '--neurons', '32'];
  const { stdout } = await bench('--axes', 'samples', '--samples', '32,64', ...sizes, ...files);
  const { curves } = JSON.parse(readFileSync(at('growth.json'), 'utf8')) as GrowthFigures;
  assert.deepEqual(
    curves.map(({ axis, points }) => [axis, points.map(({ x }) => x)]),
    [['samples', [32, 64]]],
  );
  for (const { seconds, cpuSeconds, coordinatorPeakBytes, bytes } of curves[0].points) {
    const stages = seconds.load! + seconds.fisher! + seconds.search! + seconds.rearrange! + seconds.tune!;
    assert.ok(stages > 0 && stages < seconds.all!, `${stages} of ${seconds.all}`);
    assert.ok(cpuSeconds.coordinator > 0 && cpuSeconds.workers! > 0);
    assert.ok(coordinatorPeakBytes > 5e7 && bytes!.in > 1000 && bytes!.out > 1000);
  }
  // A row of gradients for 32 samples is 4·(layers·(heads + neurons)) bytes, a loss 4. What tuning sends besides depends on over
  // how many workers it is spread, and that on how long things take.
  for (const { x, bytes } of curves[0].points)
    assert.ok(bytes!.in >= 4 * (2 * 34 * (x / 32) + x), `${bytes!.in} at ${x}`);
  assert.match(readFileSync(at('growth.md'), 'utf8'), /^\| samples \| load s \| fisher s/m);
  assert.deepEqual(readdirSync(at('charts')).sort(), ['samples-memory.svg', 'samples-seconds.svg']);
  assert.match(readFileSync(at('charts/samples-memory.svg'), 'utf8'), /^<svg .*memory \[MB\]/);
  assert.match(stdout, /checked: nothing grows faster than linear in samples\n$/);
});

it('names every flag that is wrong', async () => {
  const { code, stderr } = await bench('--axes', 'samples,heads', '--tokens', '64,32', '--repeats', '0').then(
    () => assert.fail('accepted'),
    (error: { code: number; stderr: string }) => error,
  );
  assert.equal(code, 2);
  for (const flag of ['--axes: got "heads"', '--tokens: got "64,32"', '--repeats: got "0"'])
    assert.ok(stderr.includes(flag), stderr);
});
