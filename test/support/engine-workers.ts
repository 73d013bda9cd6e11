// Workers of a job that compute in the test's own process, with the engine under test: every request takes the form that it
// has on the wire, and blobs are files of a folder.
import { mkdir, writeFile } from 'node:fs/promises';
import path from 'node:path';
import type { ServiceDefinition } from '@grpc/grpc-js';
import type { RunOptions } from '../../coordinator/workers/task-run.ts';
import type { TaskResult, TaskSpec } from '../../coordinator/workers/task-spec.ts';
import type { Workers } from '../../coordinator/workers/workers.ts';
import { protocolDefinition, type RunRequest } from '../../shared/rpc/protocol.ts';
import { RequestRunner } from '../../worker/tasks/read-request.ts';
import { testContext } from './engine.ts';
import { received } from './gradual-world.ts';

export interface EngineWorkers {
  readonly workers: Workers;
  /** Frees models and hidden states. */
  close(): void;
}

/** @param folder for blobs. @param count workers that the job believes there are. */
export function engineWorkers(folder: string, count = 1): EngineWorkers {
  const context = testContext();
  const runner = new RequestRunner(context);
  const run = (protocolDefinition()['espalier.v1.Worker'] as ServiceDefinition).Run;
  const paths: Record<string, string> = {};
  const put = async ({ blobs }: TaskSpec) => {
    await mkdir(folder, { recursive: true });
    for (const { digest, open } of blobs) {
      if (paths[digest] !== undefined) continue;
      const chunks: Uint8Array[] = [];
      for await (const chunk of open()) chunks.push(chunk);
      paths[digest] = path.join(folder, digest);
      await writeFile(paths[digest], Buffer.concat(chunks));
    }
  };
  const runTasks = async (specs: readonly TaskSpec[], { onDone }: RunOptions = {}): Promise<TaskResult[]> => {
    const results: TaskResult[] = [];
    for (const spec of specs) {
      await put(spec);
      const request = run.requestDeserialize(run.requestSerialize({ taskId: spec.id, ...spec.request })) as RunRequest;
      const result = await received(spec, await runner.run(request, paths));
      results.push(result);
      onDone?.(spec, result);
    }
    return results;
  };
  return {
    workers: { count, runTasks } as unknown as Workers,
    close() {
      context.states.clear();
      context.models.clear();
    },
  };
}
