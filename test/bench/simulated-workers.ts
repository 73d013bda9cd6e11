// Many simulated workers in one process, for `npm run bench:cluster`: the real gRPC server, queue and heartbeats, and in
// the place of the engine a pause and an answer of BERT-base's size. Model weights are never fetched.
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { BlobStore } from '../../shared/blobs/blob-store.ts';
import { HEARTBEAT_MS, HEARTBEAT_SCHEMA, type Heartbeat, WORKER_SUBJECT } from '../../shared/bus/heartbeat.ts';
import { connectBus } from '../../shared/bus/nats-bus.ts';
import { SILENT_LOG } from '../../shared/log.ts';
import { type DeviceClass, PROTOCOL_VERSION, type RunRequest } from '../../shared/rpc/protocol.ts';
import { espalierVersion } from '../../shared/rpc/version.ts';
import type { NamedTensor } from '../../shared/tensor.ts';
import { startWorkerServer, type WorkerServer } from '../../worker/service/worker-server.ts';
import { GROUP, HEADS, HIDDEN, LAYERS, NEURONS, shardSamples } from './bert-base.ts';
import { cpuSeconds, type Question, tell, type WorkersStart } from './cluster-messages.ts';

const DEVICE: DeviceClass = {
  kind: 'gpu',
  model: 'simulated',
  intraOpThreads: 1,
  tensorflowVersion: '0.0.0',
  kernels: 'plain',
  tf32: false,
  memoryGb: 0,
};

const busyByTenth = new Map<number, number>();
let tasks = 0;

function countBusy(startMs: number, endMs: number): void {
  for (let at = startMs; at < endMs; ) {
    const tenth = Math.floor(at / 100);
    const until = Math.min(endMs, (tenth + 1) * 100);
    busyByTenth.set(tenth, (busyByTenth.get(tenth) ?? 0) + until - at);
    at = until;
  }
}

const f64 = (name: string, shape: number[]): NamedTensor => ({
  name,
  dtype: 'F64',
  shape,
  data: new Float64Array(shape.reduce((product, size) => product * size, 1)),
});

/** Results are made once: what they hold hardly matters, how long they are does. */
const kept = new Map<string, NamedTensor[]>();
function once(key: string, make: () => NamedTensor[]): NamedTensor[] {
  const made = kept.get(key) ?? make();
  kept.set(key, made);
  return made;
}

function answerTo(request: RunRequest): NamedTensor[] {
  const { fisher, normalEquations, solve } = request;
  if (fisher) {
    const samples = shardSamples(fisher.shards?.first ?? 0);
    const rows = Math.ceil(samples / GROUP);
    return once(`fisher ${samples}`, () => [
      {
        name: 'rows',
        dtype: 'F32',
        shape: [rows, LAYERS * (HEADS + NEURONS)],
        data: new Float32Array(rows * LAYERS * (HEADS + NEURONS)),
      },
      { name: 'losses', dtype: 'F32', shape: [samples], data: new Float32Array(samples) },
    ]);
  }
  const ffn = (normalEquations ?? solve)?.subLayer === 'ffn';
  if (normalEquations?.stays) return [];
  if (normalEquations) {
    const n = ffn ? NEURONS / 2 : HIDDEN / 2;
    return once(`sums ${n}`, () => [
      f64('gram', [(n * (n + 1)) / 2]),
      f64('cross', [n, HIDDEN]),
      f64('feature_sums', [n]),
      f64('target_sum', [1]),
      f64('target_squares', [1]),
      f64('positions', [1]),
    ]);
  }
  if (!solve) throw new Error(`${request.taskId}: not simulated`);
  const n = ffn ? NEURONS / 2 : HEADS / 2;
  return once(`scales ${n}`, () => {
    const tried = Array.from({ length: 8 }, (_, rung) => ({ rung: `ridge ${rung}`, heldOut: 0.5 }));
    const report = Buffer.from(JSON.stringify({ rung: 'ridge 1', heldOutBefore: 1, heldOutAfter: 0.5, tried }));
    return [
      { ...f64('scales', [n]), data: new Float64Array(n).fill(1) },
      { name: 'report', dtype: 'U8', shape: [report.length], data: new Uint8Array(report) },
    ];
  });
}

// Nobody is left to report to.
process.once('disconnect', () => process.exit());
process.once('message', (start: WorkersStart) => {
  void simulate(start);
});

async function simulate({ nats, count, fisherMs, stepMs }: WorkersStart): Promise<void> {
  const bus = await connectBus({ servers: [nats], credentials: null, tls: null });
  const folder = await mkdtemp(path.join(tmpdir(), 'espalier-bench-blobs-'));
  // One store for all: what the coordinator sends to each is then sent once a process, as on a machine with several GPUs.
  const blobs = await BlobStore.open(folder, { limitBytes: 4e9 });
  const servers: WorkerServer[] = [];
  for (let index = 0; index < count; index += 1) {
    const executor = {
      async run(request: RunRequest, signal: AbortSignal) {
        const startMs = performance.timeOrigin + performance.now();
        await pause(request.fisher ? fisherMs : stepMs, undefined, { signal });
        const answer = answerTo(request);
        // No two jobs store the same: the object store would take it once.
        answer[0].data[0] = 1 + Math.random();
        countBusy(startMs, performance.timeOrigin + performance.now());
        tasks += 1;
        return answer;
      },
      describe: () => ({ deviceClass: DEVICE, memoryBytes: 8e10 }),
      models: () => [],
      async close() {},
    };
    const supply = { async require() {} };
    const log = SILENT_LOG;
    servers.push(await startWorkerServer({ host: '127.0.0.1', port: 0, executor, blobs, supply, maxWaiting: 4, log }));
  }
  const beat = (state: Heartbeat['state']) => {
    for (const { instanceId, port, tasks: held, taskLimit } of servers) {
      const heartbeat: Heartbeat = {
        ...{ schema: HEARTBEAT_SCHEMA, instanceId, address: `127.0.0.1:${port}`, version: espalierVersion() },
        ...{ protocolVersion: PROTOCOL_VERSION, deviceClass: DEVICE, memoryBytes: 8e10, host: `gpu-${port}`, state },
        ...{ tasks: held, taskLimit, models: [] },
      };
      bus.publish(`${WORKER_SUBJECT}.${instanceId}`, Buffer.from(JSON.stringify(heartbeat)));
    }
  };
  const timer = setInterval(() => beat('serving'), HEARTBEAT_MS);
  beat('serving');
  let cpuBefore = cpuSeconds();
  process.on('message', ({ kind }: Question) => {
    if (kind === 'begin') {
      cpuBefore = cpuSeconds();
      tasks = 0;
      return;
    }
    void (async () => {
      clearInterval(timer);
      beat('gone');
      const cpu = cpuSeconds() - cpuBefore;
      await tell({ kind: 'workers-report', busy: [...busyByTenth], tasks, cpuSeconds: cpu });
      for (const server of servers) await server.close();
      await bus.close();
      await rm(folder, { recursive: true, force: true });
      process.disconnect();
    })();
  });
  await tell({ kind: 'ready' });
}
