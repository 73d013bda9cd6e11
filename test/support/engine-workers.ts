// Workers of a job that compute in the test's own process, with the engine under test; blobs are files of a folder.
import { mkdir, writeFile } from 'node:fs/promises';
import path from 'node:path';
import type { TaskSpec } from '../../coordinator/workers/task-spec.ts';
import type { Workers } from '../../coordinator/workers/workers.ts';
import type { DeviceClass } from '../../shared/rpc/protocol.ts';
import { RequestRunner } from '../../worker/tasks/read-request.ts';
import { testContext } from './engine.ts';
import { workersHere } from './workers-here.ts';

export interface EngineWorkers {
  readonly workers: Workers;
  /** Frees models and hidden states. */
  close(): void;
}

/** @param folder for blobs. Others as of `workersHere`. */
export function engineWorkers(folder: string, count = 1, deviceClass?: DeviceClass): EngineWorkers {
  const context = testContext();
  const runner = new RequestRunner(context);
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
  const workers = workersHere(
    async (request, spec) => {
      await put(spec);
      return runner.run(request, paths);
    },
    count,
    deviceClass,
  );
  return {
    workers,
    close() {
      context.states.clear();
      context.models.clear();
    },
  };
}
