// ONNX Runtime's official builds for Linux send usage data to their maker, names of files and models among it, and keep
// a database for that in the user's folders, unless they are told not to. What users prune is nobody else's business.
import { isMainThread } from 'node:worker_threads';
import { EspalierError } from '../../shared/errors.ts';

const SWITCH = 'ORT_DISABLE_TELEMETRY';

/** To be called on the main thread before ONNX Runtime is loaded on any thread: the environment of the process, which it
 * reads, is the main thread's to change. @throws EspalierError "internal" on another thread when that was not done. */
export function silenceOnnxRuntime(): void {
  if (isMainThread) process.env[SWITCH] = '1';
  else if (process.env[SWITCH] !== '1')
    throw new EspalierError('internal', `${SWITCH}: got ${process.env[SWITCH]}, expected 1 before a thread starts`);
}
