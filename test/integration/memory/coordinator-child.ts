// A coordinator's process whose peak memory is its own: jobs of memory-job.ts over a real fleet and a real object store.
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { MemoryRoom } from '../../../coordinator/job/memory-room.ts';
import { MEMORY_BYTES } from '../../../coordinator/job-resources.ts';
import { ComputeThreads } from '../../../coordinator/threads/compute-threads.ts';
import { openFleet } from '../../../coordinator/workers/open-fleet.ts';
import { connectBus } from '../../../shared/bus/nats-bus.ts';
import { until } from '../../support/until.ts';
import { runMemoryJob } from './memory-job.ts';
import { type MemoryReport, type MemoryStart, tell } from './memory-messages.ts';

// Nobody is left to report to.
process.once('disconnect', () => process.exit());
process.once('message', (start: MemoryStart) => {
  void coordinate(start);
});

async function coordinate(start: MemoryStart): Promise<void> {
  const bus = await connectBus({ servers: [start.nats], credentials: null, tls: null }, { create: true });
  const folder = await mkdtemp(path.join(tmpdir(), 'espalier-memory-'));
  const onNotice = (text: string) => process.stderr.write(`${text}\n`);
  const fleet = await openFleet({ bus, tls: null, insecure: false, coordinatorId: 'memory', onNotice });
  await until('all workers are there', () => fleet.size === start.workers, 60_000);
  const threads = new ComputeThreads({ count: 2, heapMegabytes: 1000 });
  const memory = new MemoryRoom(MEMORY_BYTES);
  const startMs = performance.now();
  try {
    const kept = await Promise.all(
      Array.from({ length: start.jobs }, (_, job) =>
        runMemoryJob(job, start, {
          fleet,
          threads,
          memory,
          objects: bus.objects,
          folder: path.join(folder, String(job)),
        }),
      ),
    );
    const peakRssBytes = process.resourceUsage().maxRSS * 1024;
    const seconds = (performance.now() - startMs) / 1000;
    const { user, system } = process.cpuUsage();
    await tell({ peakRssBytes, seconds, cpuSeconds: (user + system) / 1e6, kept } satisfies MemoryReport);
  } finally {
    await threads.close();
    await fleet.close();
    await bus.close();
    await rm(folder, { recursive: true, force: true });
  }
  process.disconnect();
}
