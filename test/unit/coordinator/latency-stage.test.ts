// Measured speed where ONNX Runtime cannot be used: what is told, what is asked again, and what ends the job.
import assert from 'node:assert/strict';
import test from 'node:test';
import type { JobContext } from '../../../coordinator/job/job-context.ts';
import type { ModelBlobs } from '../../../coordinator/job/model-blobs.ts';
import { USUAL_TIMING } from '../../../coordinator/job/timing-settings.ts';
import { latencyStage } from '../../../coordinator/stages/latency.ts';
import type { TaskSpec } from '../../../coordinator/workers/task-spec.ts';
import { type ErrorCode, EspalierError } from '../../../shared/errors.ts';
import { modelConfig } from './configs.ts';

const CONFIG = modelConfig({});
const MODEL = { config: CONFIG, ref: { configJson: '{}', weights: [] }, blobs: [] } as unknown as ModelBlobs;
const TIMING = { ...USUAL_TIMING, batchSizes: [1, 8], lengths: [16] };

/** Measures two models at two shapes; of ONNX Runtime's tasks each fails with this code. */
async function measured(code: ErrorCode) {
  const tasks: string[] = [];
  const notices: string[] = [];
  let steps = { done: 0, of: 0 };
  const runTask = ({ id, request }: TaskSpec) => {
    const { runtime, repeats = 0 } = request.latency!;
    tasks.push(id);
    if (runtime === 'onnxruntime') throw new EspalierError(code, `${id}: on purpose`, { action: 'none' });
    const about = { name: 'engine', version: '2.21.0', provider: 'cpu', threads: 1, machine: 'toy' };
    return new Map([
      ['seconds', { name: 'seconds', dtype: 'F64', shape: [], data: new Float64Array(2 * repeats).fill(0.5) }],
      ['runtime', { name: 'runtime', dtype: 'U8', shape: [], data: Buffer.from(JSON.stringify(about)) }],
    ]);
  };
  const context = {
    workers: { runTasks: async (specs: TaskSpec[]) => specs.map(runTask) },
    signal: new AbortController().signal,
    emit: (event: { kind: string; text: string; done: number; steps: number }) => {
      if (event.kind === 'notice') notices.push(event.text);
      if (event.kind === 'stage-progress') steps = { done: event.done, of: event.steps };
    },
    checkpoint: { config: CONFIG },
    calibration: { plan: { samples: [{ tokenIds: new Int32Array(16) }], shards: [] } },
    model: MODEL,
  } as unknown as JobContext;
  const speed = await latencyStage(context, [MODEL, MODEL], TIMING);
  return { speed, notices, steps, asked: tasks.filter((id) => id.includes('onnxruntime')) };
}

test('a runtime that no worker has is asked for once, told of in one line, and the engine is measured', async () => {
  const { speed, notices, steps, asked } = await measured('runtime_missing');
  assert.deepEqual(asked, ['latency/onnxruntime/1x16/0']);
  assert.deepEqual(notices, [
    'speed in ONNX Runtime was not measured: [runtime_missing] latency/onnxruntime/1x16/0: on purpose; none',
  ]);
  assert.deepEqual(
    speed.map((own) => own.map(({ runtime, batchSize }) => `${runtime} ${batchSize}`)),
    [
      ['engine 1', 'engine 8'],
      ['engine 1', 'engine 8'],
    ],
  );
  assert.deepEqual(steps, { done: 8, of: 8 });
});

test('what one model may not have room for is tried for the next', async () => {
  const { notices, asked } = await measured('disk_full');
  assert.deepEqual([notices.length, asked.length], [4, 4]);
});

test('a failure that says nothing about the runtime ends the stage', async () => {
  await assert.rejects(measured('no_workers'), { code: 'no_workers' });
});
