import assert from 'node:assert/strict';
import test from 'node:test';
import { kernelFigures, parseTrace } from '../../bench/gpu/kernel-trace.ts';

const TRACE = [
  'clock 5000000000 100.5',
  'name 0 gemm<float, 128>',
  'ran 0 5001000000 2000000',
  'name 1 (copy to the host)',
  'ran 1 5002000000 3000000',
  'ran 0 5010000000 1000000',
  'ran 0 5020000000 100',
  'ran 1 502', // cut off
].join('\n');

test('a trace has names and the time of day', () => {
  const found = parseTrace(TRACE);
  assert.deepEqual(
    found.map(({ name, start, milliseconds }) => [name, Math.round(start), milliseconds]),
    [
      ['gemm<float, 128>', 100501, 2],
      ['(copy to the host)', 100502, 3],
      ['gemm<float, 128>', 100510, 1],
      ['gemm<float, 128>', 100520, 1e-4],
    ],
  );
});

test('what ran at once is busy once, and what began outside the window does not count', () => {
  const { busySeconds, kernels } = kernelFigures(parseTrace(TRACE), { start: 100500, end: 100515 });
  assert.ok(Math.abs(busySeconds - 0.005) < 1e-9, `${busySeconds}`);
  assert.deepEqual(
    kernels.map(({ name, calls, seconds }) => [name, calls, Math.round(seconds * 1e6)]),
    [
      ['gemm<float, 128>', 2, 3000],
      ['(copy to the host)', 1, 3000],
    ],
  );
  assert.deepEqual(kernelFigures([], { start: 0, end: 1 }), { busySeconds: 0, kernels: [] });
});
