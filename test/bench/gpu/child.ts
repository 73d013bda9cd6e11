// Measuring happens in processes of its own: what TensorFlow takes of a device's memory it gives back only by ending, and one
// measurement's caches should not help the next.
import { fork } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { type ErrorCode, EspalierError, toEspalierError } from '../../../shared/errors.ts';

type Answer<T> =
  | { readonly kind: 'found'; readonly found: T }
  | { readonly kind: 'failed'; readonly code: ErrorCode; readonly message: string; readonly action: string };

/** Runs a program beside this file with one message and resolves with what it answers, after it has ended.
 * @throws EspalierError what it failed with, "engine" where it ended without a word. */
export function runChild<Start extends object, Found>(
  program: string,
  start: Start,
  settings: Readonly<Record<string, string>> = {},
): Promise<Found> {
  return new Promise((resolve, reject) => {
    // One GPU, the first that there is.
    const [gpu] = (process.env.CUDA_VISIBLE_DEVICES ?? '0').split(',');
    const env = { ...process.env, CUDA_VISIBLE_DEVICES: gpu, ...settings };
    const options = { execArgv: ['--enable-source-maps'], env };
    const child = fork(fileURLToPath(new URL(program, import.meta.url)), [], options);
    let answer: Answer<Found> | null = null;
    child.on('message', (message) => {
      answer = message as Answer<Found>;
    });
    child.on('error', reject);
    child.on('exit', (code, signal) => {
      if (answer?.kind === 'found') resolve(answer.found);
      else if (answer === null) reject(new EspalierError('engine', `${program}: ended with ${code ?? signal}`));
      else reject(new EspalierError(answer.code, answer.message, { action: answer.action }));
    });
    child.send(start);
  });
}

/** In the child: waits for the message, answers it and ends; so it does when the parent has gone. */
export function answerParent<Start, Found>(measure: (start: Start) => Promise<Found>): void {
  process.once('disconnect', () => process.exit());
  process.once('message', async (start) => {
    let answer: Answer<Found>;
    try {
      answer = { kind: 'found', found: await measure(start as Start) };
    } catch (caught) {
      const error = toEspalierError(caught);
      if (error.code === 'internal') process.stderr.write(`${error.stack}\n`);
      answer = { kind: 'failed', code: error.code, message: error.message, action: error.action };
    }
    process.send?.(answer, undefined, {}, () => process.disconnect());
  });
}
