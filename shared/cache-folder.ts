// Where this user's cached files lie: blobs that workers pulled, libraries that the set-up unpacked.
import { homedir } from 'node:os';
import path from 'node:path';

/** `$XDG_CACHE_HOME/espalier/<name>`, or `~/.cache/espalier/<name>`. */
export function cacheFolder(name: string): string {
  const base = process.env.XDG_CACHE_HOME || path.join(homedir(), '.cache');
  return path.join(base, 'espalier', name);
}
