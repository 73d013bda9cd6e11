// How much memory this process may use before the kernel ends it.
import os from 'node:os';

/** @param constrainedBytes limit of the process's control group; undefined, 0 or absurdly large: none is set.
 * @returns the limit in bytes, or null where nothing but the machine limits it. */
export function memoryLimitBytes(
  constrainedBytes: number | undefined = process.constrainedMemory(),
  machineBytes: number = os.totalmem(),
): number | null {
  return constrainedBytes !== undefined && constrainedBytes > 0 && constrainedBytes < machineBytes
    ? constrainedBytes
    : null;
}
