// `node dist/test/bench/object-store.js [MEGABYTES]`: speed and memory of storing and reading one blob in a nats-server of
// this machine, each in a process of its own, and the stock client's object store beside it.
import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { connect } from 'nats';
import type { BusSettings } from '../../shared/bus/bus.ts';
import { connectBus } from '../../shared/bus/nats-bus.ts';
import { NatsServer } from '../support/nats-server.ts';

const BLOCK = Buffer.alloc(1 << 20, createHash('sha512').update('espalier').digest());
const STEPS = ['put', 'get', 'stock-put', 'stock-get'] as const;

async function* blocks(count: number): AsyncGenerator<Uint8Array> {
  for (let i = 0; i < count; i += 1) yield BLOCK;
}

async function digestOf(count: number): Promise<string> {
  const hash = createHash('sha256');
  for await (const block of blocks(count)) hash.update(block);
  return hash.digest('hex');
}

async function ours(settings: BusSettings, step: 'put' | 'get', count: number): Promise<number> {
  const bus = await connectBus(settings, { create: true });
  const digest = await digestOf(count);
  const startMs = performance.now();
  if (step === 'put') await bus.objects.put(digest, count << 20, blocks(count));
  else for await (const _ of bus.objects.open(digest));
  const tookMs = performance.now() - startMs;
  await bus.close();
  return tookMs;
}

async function stock({ servers }: BusSettings, step: 'stock-put' | 'stock-get', count: number): Promise<number> {
  const connection = await connect({ servers: [...servers] });
  const store = await connection.jetstream({ timeout: 120_000 }).views.os('stock');
  const startMs = performance.now();
  if (step === 'stock-put') await store.put({ name: 'blob' }, ReadableStream.from(blocks(count)));
  else {
    const result = (await store.get('blob'))!;
    for await (const _ of result.data as unknown as AsyncIterable<Uint8Array>);
    await result.error;
  }
  const tookMs = performance.now() - startMs;
  await connection.close();
  return tookMs;
}

async function measure(step: (typeof STEPS)[number], url: string, count: number): Promise<void> {
  const settings = { servers: [url], credentials: null, tls: null };
  const before = process.cpuUsage();
  const isOurs = step === 'put' || step === 'get';
  const tookMs = await (isOurs ? ours(settings, step, count) : stock(settings, step, count));
  const { user, system } = process.cpuUsage(before);
  const speed = ((count << 20) / 1e6 / (tookMs / 1000)).toFixed(0);
  const peakMiB = process.resourceUsage().maxRSS >> 10;
  console.log(`${step}: ${speed} MB/s, ${((user + system) / 1e6).toFixed(1)} s of CPU, peak memory ${peakMiB} MiB`);
}

const [first = '500', url, count] = process.argv.slice(2);
const step = STEPS.find((name) => name === first);
if (step !== undefined && url !== undefined) await measure(step, url, Number(count));
else {
  const server = await NatsServer.start();
  try {
    const script = process.argv[1]!;
    for (const name of STEPS) execFileSync(process.execPath, [script, name, server.url, first], { stdio: 'inherit' });
  } finally {
    await server.remove();
  }
}
