// Which addresses never leave this machine.
import { isIPv4 } from 'node:net';

/** True for a host, with or without brackets, that only processes of this machine can reach. */
export function isLoopback(host: string): boolean {
  const bare = host.replace(/^\[(.*)\]$/, '$1');
  return bare === 'localhost' || bare === '::1' || (isIPv4(bare) && bare.startsWith('127.'));
}
