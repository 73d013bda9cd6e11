// Which device the tests of this folder run on, and what they say where it is not there. As a program it says whether it is.
import { pathToFileURL } from 'node:url';
import { EspalierError, toEspalierError } from '../../shared/errors.ts';
import { loadBinding } from '../../worker/engine/binding.ts';
import { setEngineEnvironment } from '../../worker/engine-executor.ts';

/** "gpu", or what ESPALIER_GPU_TESTS_ON says. @throws EspalierError "usage" for another word. */
export function testedDevice(): 'cpu' | 'gpu' {
  const named = process.env.ESPALIER_GPU_TESTS_ON || 'gpu';
  if (named === 'cpu' || named === 'gpu') return named;
  throw new EspalierError('usage', `ESPALIER_GPU_TESTS_ON: got "${named}", expected gpu or cpu`, {
    action: 'leave it out to test on a GPU',
  });
}

/** Ends this process with one line and the exit code of the failure where the device is not there. */
export function requireGpu(): void {
  try {
    const device = testedDevice();
    setEngineEnvironment({ threads: 1, device });
    if (device === 'gpu' && !loadBinding().isUsingGpuDevice())
      throw new EspalierError('engine', 'test:gpu: got no usable GPU, expected one', {
        action: 'run it on a machine with an NVIDIA GPU after `ESPALIER_DEVICE=gpu npm run setup`',
      });
  } catch (caught) {
    const error = toEspalierError(caught);
    process.stderr.write(`${error.code === 'internal' ? error.stack : error.line}\n`);
    process.exit(error.exitCode);
  }
}

if (import.meta.url === pathToFileURL(process.argv[1]).href) requireGpu();
