// What every step of the set-up works with. Tests put other folders, wheels and a fake download in its place.

import os from 'node:os';
import path from 'node:path';
import { chooseDevice } from './device.mjs';
import { ENGINE_VARIANTS } from './engine-wheels.mjs';
import { fetchWheel } from './fetch-wheel.mjs';

/** @returns a read-only object: `root` the checkout, `cache` this user's folder for what a fresh clone need not make
 * again, `engine` the libraries to install, `say(line)` tells the user, `signal` is aborted on Ctrl-C. */
export function createContext({ root, env = process.env, say, signal, ...replaced }) {
  const device = replaced.device ?? chooseDevice(env);
  return Object.freeze({
    root,
    env,
    say,
    signal,
    device,
    cache: path.join(cacheHome(env), 'espalier'),
    engine: ENGINE_VARIANTS[device.variant],
    fetchWheel,
    ...replaced,
  });
}

/** The XDG rule: an absolute XDG_CACHE_HOME, or ~/.cache. */
function cacheHome(env) {
  const named = env.XDG_CACHE_HOME ?? '';
  return path.isAbsolute(named) ? named : path.join(env.HOME || os.homedir(), '.cache');
}
