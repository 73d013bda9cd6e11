// What the services of deploy/compose.yaml must hold, as a function of the parsed file: so that tests can show that a wrong
// one is told of.

import fs from 'node:fs';
import path from 'node:path';
import { CHECKOUT } from '../support.mjs';
import { parserOf, variablesOf } from './process-settings.mjs';

const PINNED = /^[a-z0-9./-]+:v?\d+\.\d+\.\d+(-[a-z0-9.-]+)?$/;
const OWN = /^(ghcr\.io\/espalier\/|espalier-)/;
const PROCESSES = { coordinator: 'coordinator', 'worker-1': 'worker', 'worker-2': 'worker' };

/** @param document compose.yaml, with its merges carried out. @param versions `own` of package.json, `nats` of the set-up.
 * @returns {string[]} what is wrong; none when all is well. */
export function composeProblems(document, { own, nats }) {
  const { services, volumes } = document;
  const problems = [];
  for (const [name, service] of Object.entries(services)) {
    const check = (holds, problem) => holds || problems.push(`${name}: ${problem}`);
    check(PINNED.test(service.image), `image ${service.image} has no version`);
    if (OWN.test(service.image)) check(service.image.endsWith(`:${own}`), `image ${service.image}, expected ${own}`);
    check(/^[1-9]\d*:[1-9]\d*$/.test(service.user ?? ''), `user ${service.user}`);
    check(service.read_only === true, 'its root can be written to');
    check(service.cap_drop?.join() === 'ALL', 'keeps capabilities');
    check(service.cap_add === undefined && service.privileged === undefined, 'gets rights');
    check(service.security_opt?.includes('no-new-privileges:true'), 'may gain rights');
    const limits = service.deploy?.resources?.limits ?? {};
    for (const kind of ['cpus', 'memory', 'pids']) check(limits[kind] !== undefined, `no limit of ${kind}`);
    const isWatched = service.healthcheck !== undefined || PROCESSES[name] !== undefined;
    check(isWatched || service.restart === 'no', 'no health check');
    for (const port of service.ports ?? [])
      check(/^127\.0\.0\.1:\d+:\d+$/.test(port), `port ${port} for other machines`);
    const config = PROCESSES[name] === undefined ? null : settingsOf(name, service, check);
    if (config?.tls) check(targetsOf(service).includes(path.dirname(config.tls.ca)), `${config.tls.ca} is not mounted`);
    for (const volume of service.volumes ?? []) {
      const source = volume.replace(/\$\{\w+:-(.*?)\}/, '$1').split(':')[0];
      if (source.startsWith('.')) check(fs.existsSync(path.join(CHECKOUT, 'deploy', source)), `no file ${source}`);
      else check(source in volumes, `no volume ${source}`);
    }
    for (const wanted of Object.keys(service.depends_on ?? {})) check(wanted in services, `no service ${wanted}`);
  }
  if (services.nats.image.split(/[:-]/)[1] !== nats)
    problems.push(`nats: ${services.nats.image}, the set-up has ${nats}`);
  return problems;
}

/** The settings of a service, read by the parser of its process, as the container gets them. */
export function settingsOf(name, service, check = () => {}) {
  const process = PROCESSES[name];
  const env = { XDG_CACHE_HOME: '/var/cache', ...environmentOf(service) };
  const known = variablesOf(process);
  for (const variable of Object.keys(env))
    check(!variable.startsWith('ESPALIER_') || known.includes(variable), `${variable}: no such setting`);
  try {
    return parserOf(process)([], env).config;
  } catch (error) {
    check(false, error.message);
    return null;
  }
}

function environmentOf({ env_file: files = [], environment = {} }) {
  const lines = files.flatMap((file) => fs.readFileSync(path.join(CHECKOUT, 'deploy', file), 'utf8').split('\n'));
  const pairs = lines.filter((line) => /^\w/.test(line)).map((line) => [line.split('=')[0], line.replace(/^\w+=/, '')]);
  return { ...Object.fromEntries(pairs), ...environment };
}

function targetsOf({ volumes }) {
  return volumes.map((volume) => volume.replace(/\$\{.*?\}/, '').split(':')[1]);
}
