// Runs one case of test/integration/memory: a nats-server, simulated workers and a coordinator, each in a process of its own.
import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { NatsServer } from '../../support/nats-server.ts';
import type { MemoryCase, MemoryReport, MemoryStart } from './memory-messages.ts';

/** @throws Error when a process ends before it has told what it found. */
export async function measureMemory(sizes: MemoryCase): Promise<MemoryReport> {
  const server = await NatsServer.start();
  const children: ChildProcess[] = [];
  const open = (program: string) => {
    const child = fork(fileURLToPath(new URL(program, import.meta.url)));
    children.push(child);
    return child;
  };
  const start: MemoryStart = { ...sizes, nats: server.url };
  try {
    const workers = open('./workers-child.js');
    workers.send(start);
    await messageOf(workers, 'the workers');
    const coordinator = open('./coordinator-child.js');
    coordinator.send(start);
    const report = (await messageOf(coordinator, 'the coordinator')) as MemoryReport;
    workers.send({});
    await Promise.all(children.map((child) => child.exitCode ?? once(child, 'exit')));
    return report;
  } finally {
    for (const child of children) if (child.exitCode === null && child.signalCode === null) child.kill('SIGKILL');
    await server.remove();
  }
}

function messageOf(child: ChildProcess, name: string): Promise<unknown> {
  return new Promise((resolve, reject) => {
    child.once('message', resolve);
    child.once('exit', (code, signal) => reject(new Error(`${name} ended with ${code ?? signal}`)));
  });
}
