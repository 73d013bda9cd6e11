// Runs the other programs that set-up needs. A captured command runs in a process group of its own, so that an abort
// ends what it started as well; its output is shown only when it fails.

import { spawn } from 'node:child_process';
import { SetupProblem } from './problem.mjs';

/** Runs a command to its end and captures what it prints.
 * @returns {Promise<{code: number, stdout: string, stderr: string}>} whatever the exit code; code 127 when there is no such program.
 * @throws the abort reason when `signal` is aborted, after the process group was ended. */
export async function capture(command, args, { cwd, env, signal } = {}) {
  signal?.throwIfAborted();
  const child = spawn(command, args, { cwd, env, detached: true, stdio: ['ignore', 'pipe', 'pipe'] });
  const printed = { stdout: '', stderr: '' };
  for (const name of ['stdout', 'stderr']) {
    child[name].setEncoding('utf8').on('data', (text) => {
      printed[name] += text;
    });
  }
  const endGroup = () => {
    if (child.pid === undefined) return; // it never started
    try {
      process.kill(-child.pid, 'SIGTERM');
    } catch (error) {
      if (error.code !== 'ESRCH') throw error;
    }
  };
  signal?.addEventListener('abort', endGroup);
  try {
    const code = await new Promise((resolve, reject) => {
      child.on('error', (error) => (error.code === 'ENOENT' ? resolve(127) : reject(error)));
      child.on('close', (exitCode) => resolve(exitCode ?? 1));
    });
    signal?.throwIfAborted();
    return { code, ...printed };
  } finally {
    signal?.removeEventListener('abort', endGroup);
  }
}

/** Runs a command that must succeed.
 * @returns what it wrote to standard output.
 * @throws SetupProblem that starts with `purpose` and ends with the line that best says why. */
export async function captureOrFail(purpose, command, args, options) {
  const { code, stdout, stderr } = await capture(command, args, options);
  if (code === 0) return stdout;
  if (code === 127) throw new SetupProblem(`${purpose} failed: ${command} is not installed`);
  throw new SetupProblem(`${purpose} failed: ${tellingLine(`${stderr}\n${stdout}`)}`);
}

// What npm, pip, g++ and Node put before the sentence that matters; npm's first lines only repeat codes.
const FAILURE = /^(npm (error|ERR!) (?!code|errno|syscall|path)\S|ERROR: |\w*Error: |.*\berror: )/;

/** The line of a program's output that says what went wrong: the first that is marked as a failure, or the last of all. */
export function tellingLine(output) {
  const lines = output.split('\n').map((line) => line.trim());
  const spoken = lines.filter((line) => line !== '' && !line.includes('A complete log of this run'));
  return spoken.find((line) => FAILURE.test(line)) ?? spoken.at(-1) ?? 'it printed nothing';
}
