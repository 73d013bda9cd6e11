// The programs that must be on the machine before set-up can do the rest. They are asked for only when a step needs
// them: a checkout that is set up runs without a compiler or Python.

import { SetupProblem } from './problem.mjs';
import { capture } from './run-command.mjs';

const TOOLS = {
  npm: { probe: ['npm', '--version'], debianPackage: 'npm' },
  python3: { probe: ['python3', '--version'], debianPackage: 'python3' },
  pip: { probe: ['python3', '-m', 'pip', '--version'], debianPackage: 'python3-pip' },
  'g++': { probe: ['g++', '--version'], debianPackage: 'g++' },
};

/** Checks that the named tools run.
 * @throws SetupProblem one line that names every missing tool and how to install them. */
export async function ensureTools({ env, signal }, names) {
  const answers = await Promise.all(
    names.map(async (name) => {
      const [command, ...args] = TOOLS[name].probe;
      const { code } = await capture(command, args, { env, signal });
      return { name, missing: code !== 0 };
    }),
  );
  const missing = answers.filter((answer) => answer.missing).map((answer) => answer.name);
  if (missing.length === 0) return;
  const packages = missing.map((name) => TOOLS[name].debianPackage).join(' ');
  throw new SetupProblem(`missing: ${missing.join(', ')}; on Debian: apt-get install ${packages}`);
}

/** The libraries exist as x86-64 builds for Linux only.
 * @throws SetupProblem on any other platform. */
export function ensurePlatform(platform = process.platform, arch = process.arch) {
  if (platform === 'linux' && arch === 'x64') return;
  throw new SetupProblem(`${platform} on ${arch} will not do: the engine needs Linux on x86-64`);
}
