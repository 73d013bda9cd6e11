// Which GPUs a process may use.
import { readdirSync } from 'node:fs';

/** The GPUs that this process may use, as CUDA_VISIBLE_DEVICES names them: those that the variable names, else all that
 * the machine, or the container, has. */
export function visibleGpus(env: Readonly<Record<string, string | undefined>>): string[] {
  const named = env.CUDA_VISIBLE_DEVICES;
  if (named !== undefined) {
    const names = named.split(',').map((name) => name.trim());
    // CUDA stops at the first name that is no device.
    const end = names.findIndex((name) => name === '' || name === '-1');
    return end < 0 ? names : names.slice(0, end);
  }
  try {
    const nodes = readdirSync('/dev').filter((name) => /^nvidia\d+$/.test(name));
    return nodes.map((_, index) => `${index}`);
  } catch {
    return [];
  }
}
