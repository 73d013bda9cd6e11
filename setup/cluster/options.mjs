// What `npm run cluster -- …` takes, and whether its ports can be had.

import net from 'node:net';
import path from 'node:path';
import { parseArgs } from 'node:util';
import { SetupProblem } from '../problem.mjs';

export const HELP = `Usage: npm run cluster -- [options]

Starts NATS, a coordinator and workers on this machine, until Ctrl-C. The next start goes on with the jobs.

  --workers N        worker processes (default 2)
  --port N           port of the coordinator (default 7070)
  --nats-port N      port of NATS (default 4222)
  --metrics-port N   port of the coordinator's metrics; the workers' follow it (default 9470)
  --device DEVICE    cpu, gpu or auto, for the workers (default cpu)
  --tls              certificates and NATS keys for all, as between machines; prints what users need
  --folder DIR       where jobs and models are kept (default .espalier/cluster)
`;

const NUMBERS = {
  workers: { default: '2', least: 1, most: 64 },
  port: { default: '7070', least: 1, most: 65535 },
  'nats-port': { default: '4222', least: 1, most: 65535 },
  'metrics-port': { default: '9470', least: 1, most: 65000 },
};
const DEVICES = ['cpu', 'gpu', 'auto'];

/** @returns the options, or null when help was asked for. @throws SetupProblem that lists every problem. */
export function readOptions(args) {
  const names = [...Object.keys(NUMBERS), 'device', 'folder'];
  const options = Object.fromEntries(names.map((name) => [name, { type: 'string' }]));
  let values;
  try {
    ({ values } = parseArgs({ args, options: { ...options, tls: { type: 'boolean' }, help: { type: 'boolean' } } }));
  } catch (error) {
    throw new SetupProblem(`${error.message.split('. ')[0]}; see npm run cluster -- --help`);
  }
  if (values.help) return null;
  const problems = [];
  const number = (name) => {
    const { default: text, least, most } = NUMBERS[name];
    const given = values[name] ?? text;
    if (!/^\d{1,6}$/.test(given) || Number(given) < least || Number(given) > most)
      problems.push(`--${name}: got "${given}", expected a whole number in [${least}, ${most}]`);
    return Number(given);
  };
  const read = {
    workers: number('workers'),
    port: number('port'),
    natsPort: number('nats-port'),
    metricsPort: number('metrics-port'),
    device: values.device ?? 'cpu',
    tls: values.tls ?? false,
    folder: values.folder ?? path.join('.espalier', 'cluster'),
  };
  if (!DEVICES.includes(read.device))
    problems.push(`--device: got "${read.device}", expected one of ${DEVICES.join(', ')}`);
  if (problems.length > 0) throw new SetupProblem(problems.join('; '));
  return read;
}

/** @throws SetupProblem that names every port that is in use, and the flag that chooses another. */
export async function requirePorts({ port, natsPort, metricsPort, workers }) {
  const wanted = [
    [port, '--port'],
    [natsPort, '--nats-port'],
    ...Array.from({ length: workers + 1 }, (_, index) => [metricsPort + index, '--metrics-port']),
  ];
  const taken = [];
  for (const [number, flag] of wanted) if (!(await isFree(number))) taken.push(`${number} (${flag})`);
  if (taken.length > 0)
    throw new SetupProblem(
      `in use on 127.0.0.1: ${taken.length > 1 ? 'ports' : 'port'} ${taken.join(', ')}; end what uses them, such as ` +
        'another cluster, or give other ports with these flags',
    );
}

function isFree(port) {
  return new Promise((resolve) => {
    const server = net.createServer();
    server.once('error', () => resolve(false));
    server.listen({ port, host: '127.0.0.1', exclusive: true }, () => server.close(() => resolve(true)));
  });
}
