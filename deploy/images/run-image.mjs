// Starts what is in an image and hears of its end: what the tests of images share.

import { once } from 'node:events';
import fs from 'node:fs';
import path from 'node:path';
import { SetupProblem } from '../../setup/problem.mjs';

/** The folder that images write to. */
export const CACHE = '/var/cache/espalier';

/** For the images' user, who has no name on this machine. */
export function writableFolder(folder, name) {
  const made = path.join(folder, name);
  fs.mkdirSync(made, { recursive: true });
  fs.chmodSync(made, 0o777);
  return made;
}

export async function outputOf(image, options) {
  const { code, stdout, stderr } = await runToEnd(image, options);
  const words = (options.command ?? []).join(' ').slice(0, 80);
  expect(code === 0, `${words}: exit code ${code}: ${lastLine(stderr) || lastLine(stdout)}`);
  return stdout;
}

export async function runToEnd(image, { timeoutMs = 60_000, ...options }) {
  const child = image.start(options);
  const printed = { stdout: '', stderr: '' };
  for (const name of ['stdout', 'stderr'])
    child[name].setEncoding('utf8').on('data', (text) => {
      printed[name] += text;
    });
  const timer = setTimeout(() => void end(child, image), timeoutMs);
  const [code] = await once(child, 'close');
  clearTimeout(timer);
  return { code, ...printed };
}

export async function end(child, image) {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const exited = once(child, 'exit');
  image.stop(child, 'SIGKILL');
  // Where process 1 of the name space is gone already.
  child.kill('SIGKILL');
  await exited;
}

export function expect(holds, otherwise) {
  if (!holds) throw new SetupProblem(otherwise);
}

export function lastLine(text) {
  return text.trim().split('\n').at(-1) ?? '';
}
