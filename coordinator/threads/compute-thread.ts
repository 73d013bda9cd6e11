// The program of one of a coordinator's threads: one call at a time, answered by its output or its error.
import { parentPort } from 'node:worker_threads';
import { toEspalierError } from '../../shared/errors.ts';
import type { PreparedInputs } from './prepare-inputs.ts';
import { THREAD_CALLS, type ThreadAnswer, type ThreadRequest } from './thread-calls.ts';

parentPort?.on('message', (request: ThreadRequest) => void answer(request));

async function answer({ name, input }: ThreadRequest): Promise<void> {
  try {
    const output = await (THREAD_CALLS[name] as (input: unknown) => unknown)(input);
    const done: ThreadAnswer = { kind: 'done', output };
    parentPort?.postMessage(done, name === 'prepare' ? await buffersOf(output as PreparedInputs) : []);
  } catch (caught) {
    const { code, message, action, stack } = toEspalierError(caught);
    const failed: ThreadAnswer = { kind: 'failed', code, message, action, stack };
    parentPort?.postMessage(failed);
  }
}

async function buffersOf(inputs: PreparedInputs): Promise<ArrayBuffer[]> {
  const { preparedBuffers } = await import('./prepare-inputs.ts');
  return preparedBuffers(inputs);
}
