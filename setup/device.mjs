// Decides which engine libraries are installed: those for the CPU (274 MB) or those for an NVIDIA GPU (3 GB).

import { spawnSync } from 'node:child_process';
import fs from 'node:fs';
import { SetupProblem } from './problem.mjs';

/** ESPALIER_DEVICE=cpu or gpu decides; without it, a GPU is chosen where an NVIDIA driver is seen.
 * @returns {{ variant: 'cpu' | 'gpu', asked: boolean, driverSeen: boolean }} `asked`: the user named it.
 * @throws SetupProblem for another value of ESPALIER_DEVICE. */
export function chooseDevice(env, driverSeen = seesNvidiaDriver(env)) {
  const wanted = env.ESPALIER_DEVICE ?? 'auto';
  if (wanted === 'auto' || wanted === '') return { variant: driverSeen ? 'gpu' : 'cpu', asked: false, driverSeen };
  if (wanted === 'cpu' || wanted === 'gpu') return { variant: wanted, asked: true, driverSeen };
  throw new SetupProblem(`ESPALIER_DEVICE: got "${wanted}", expected cpu, gpu or auto`);
}

function seesNvidiaDriver(env) {
  if (fs.existsSync('/proc/driver/nvidia/version')) return true;
  const answer = spawnSync('nvidia-smi', ['-L'], { env, encoding: 'utf8', timeout: 10_000 });
  return answer.status === 0 && answer.stdout.includes('GPU ');
}
