// Simulated workers in a process of their own: the real gRPC server, and in the place of the engine answers of the right
// size. What a task answers depends on the task alone.
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { packedLength } from '../../../pruning/fisher.ts';
import { BlobStore } from '../../../shared/blobs/blob-store.ts';
import { HEARTBEAT_MS, HEARTBEAT_SCHEMA, type Heartbeat, WORKER_SUBJECT } from '../../../shared/bus/heartbeat.ts';
import { connectBus } from '../../../shared/bus/nats-bus.ts';
import { SILENT_LOG } from '../../../shared/log.ts';
import { PROTOCOL_VERSION, type RunRequest } from '../../../shared/rpc/protocol.ts';
import { espalierVersion } from '../../../shared/rpc/version.ts';
import type { NamedTensor } from '../../../shared/tensor.ts';
import { startWorkerServer, type WorkerServer } from '../../../worker/service/worker-server.ts';
import { FAKE_DEVICE } from '../../support/fake-executor.ts';
import { shardRows, sizesOf } from './memory-job.ts';
import { type MemoryStart, tell } from './memory-messages.ts';

// Nobody is left to report to.
process.once('disconnect', () => process.exit());
process.once('message', (start: MemoryStart) => {
  void serve(start);
});

/** Answers are made once: they are hundreds of megabytes. */
const kept = new Map<string, NamedTensor[]>();

function answerTo(request: RunRequest, start: MemoryStart): NamedTensor[] {
  const { fisher, normalEquations, solve } = request;
  if (fisher) {
    const rows = shardRows(start, fisher.shards!);
    const key = `${rows} ${fisher.gram}`;
    const losses: NamedTensor = { name: 'losses', dtype: 'F32', shape: [rows], data: new Float32Array(rows) };
    const answer = kept.get(key) ?? [...(fisher.gram ? grams(start) : [gradients(start, rows)]), losses];
    kept.set(key, answer);
    return answer;
  }
  const { heads, neurons } = sizesOf(start);
  const task = (normalEquations ?? solve)!;
  const mask = task.subLayer === 'ffn' ? task.student!.neuronMask! : task.student!.headMask!;
  const size = task.subLayer === 'ffn' ? neurons : heads;
  const count = (mask as Buffer)
    .subarray(task.layer! * size, (task.layer! + 1) * size)
    .filter((bit) => bit === 1).length;
  if (normalEquations?.stays) return [];
  if (normalEquations) {
    const f64 = (name: string, length: number): NamedTensor => {
      return { name, dtype: 'F64', shape: [length], data: new Float64Array(length).fill(1) };
    };
    return [
      ...[f64('matrix', count ** 2), f64('right', count), f64('offset', task.subLayer === 'ffn' ? 0 : count)],
      ...[f64('target_sum', 1), f64('target_squares', 1), f64('positions', 1)],
    ];
  }
  const report = new TextEncoder().encode(
    JSON.stringify({
      rung: 'ridge 1',
      heldOutBefore: 1,
      heldOutAfter: 0.5,
      tried: [{ rung: 'ridge 1', heldOut: 0.5 }],
    }),
  );
  return [
    { name: 'scales', dtype: 'F64', shape: [count], data: new Float64Array(count).fill(1) },
    { name: 'report', dtype: 'U8', shape: [report.length], data: report },
  ];
}

/** Each variable in one row, the more important the lower its number: nothing to rearrange. */
function gradients(start: MemoryStart, rows: number): NamedTensor {
  const { layers, heads, neurons } = sizesOf(start);
  const width = layers * (heads + neurons);
  const data = new Float32Array(rows * width);
  for (let variable = 0; variable < width; variable++) data[(variable % rows) * width + variable] = width - variable;
  return { name: 'rows', dtype: 'F32', shape: [rows, width], data };
}

function grams(start: MemoryStart): NamedTensor[] {
  const { layers, heads, neurons } = sizesOf(start);
  const list = (name: string, size: number): NamedTensor => {
    const length = packedLength(size);
    const data = new Float64Array(layers * length);
    for (let layer = 0; layer < layers; layer++)
      for (let i = 0, at = layer * length; i < size; at += size - i, i++) data[at] = (layers - layer) * size - i;
    return { name, dtype: 'F64', shape: [layers, length], data };
  };
  return [list('head_gram', heads), list('neuron_gram', neurons)];
}

async function serve(start: MemoryStart): Promise<void> {
  const bus = await connectBus({ servers: [start.nats], credentials: null, tls: null });
  const folder = await mkdtemp(path.join(tmpdir(), 'espalier-memory-blobs-'));
  const blobs = await BlobStore.open(folder, { limitBytes: 4e9 });
  const executor = {
    run: async (request: RunRequest) => answerTo(request, start),
    describe: () => ({ deviceClass: FAKE_DEVICE, memoryBytes: 8e10 }),
    models: () => [],
    async close() {},
  };
  const servers: WorkerServer[] = [];
  for (let index = 0; index < start.workers; index += 1)
    servers.push(
      await startWorkerServer({
        ...{
          host: '127.0.0.1',
          port: 0,
          executor,
          blobs,
          supply: { async require() {} },
          maxWaiting: 4,
          log: SILENT_LOG,
        },
      }),
    );
  const beat = () => {
    for (const { instanceId, port, tasks, taskLimit } of servers) {
      const heartbeat: Heartbeat = {
        ...{ schema: HEARTBEAT_SCHEMA, instanceId, address: `127.0.0.1:${port}`, version: espalierVersion() },
        ...{ protocolVersion: PROTOCOL_VERSION, deviceClass: FAKE_DEVICE, memoryBytes: 8e10, host: `host-${port}` },
        ...{ state: 'serving', tasks, taskLimit, models: [] },
      };
      bus.publish(`${WORKER_SUBJECT}.${instanceId}`, Buffer.from(JSON.stringify(heartbeat)));
    }
  };
  const timer = setInterval(beat, HEARTBEAT_MS);
  beat();
  process.once('message', () => {
    void (async () => {
      clearInterval(timer);
      for (const server of servers) await server.close();
      await bus.close();
      await rm(folder, { recursive: true, force: true });
      process.disconnect();
    })();
  });
  await tell({ kind: 'ready' });
}
