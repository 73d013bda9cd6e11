// Runs a program that knows nothing of its parent, as nats-server: this process passes signals on to it, ends as it ends,
// and kills it the moment that whoever forked this process is gone.
//
// usage: fork('run-watched.mjs', [PROGRAM, ...ARGUMENTS])

import { spawn } from 'node:child_process';

const [program, ...args] = process.argv.slice(2);
const child = spawn(program, args, { stdio: ['ignore', 'inherit', 'inherit'] });
const kill = () => child.kill('SIGKILL');
process.on('disconnect', kill);
if (!process.connected) kill();
for (const name of ['SIGTERM', 'SIGINT']) process.on(name, () => child.kill(name));
child.on('error', (error) => {
  console.error(`${program}: ${error.message}`);
  process.exit(127);
});
child.on('exit', (code) => process.exit(code ?? 1));
