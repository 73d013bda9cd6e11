// What a Dockerfile of this project must hold, as a function of its text: so that tests can show that a wrong one is told of.

import fs from 'node:fs';
import path from 'node:path';
import { baseOf, globalArgsOf, parseDockerfile, walkStage } from '../../../deploy/images/dockerfile.mjs';
import { nodeVersionProblem } from '../../../setup/node-version.mjs';
import { CHECKOUT } from '../support.mjs';

const LABELS = [
  'title',
  'description',
  'licenses',
  'source',
  'documentation',
  'vendor',
  'version',
  'revision',
  'created',
];
const PINNED = /^[a-z0-9./-]+:v?\d+\.\d+(\.\d+)?(-[a-z0-9.-]+)?$/;

/** The last stage of a Dockerfile: its configuration, the commands and copies in it. */
export async function finalStage(text, buildArgs = {}) {
  const parsed = parseDockerfile(text);
  const globalArgs = globalArgsOf(parsed, buildArgs);
  const commands = [];
  const actions = { run: ({ command }) => commands.push(command) };
  const config = await walkStage(parsed.stages.at(-1), { globalArgs, buildArgs, actions });
  return { parsed, globalArgs, config, commands, base: baseOf(parsed.stages.at(-1), globalArgs) };
}

/** @param expected `version` of package.json, `ports` that the image's process listens on, `variables` that it knows.
 * @returns {Promise<string[]>} what is wrong; none when all is well. */
export async function dockerfileProblems(text, { version, ports, variables }) {
  const problems = [];
  const check = (holds, problem) => holds || problems.push(problem);
  const { parsed, globalArgs, config, commands, base } = await finalStage(text);

  const names = parsed.stages.map((stage) => stage.name);
  for (const stage of parsed.stages) {
    const from = baseOf(stage, globalArgs);
    check(from === 'scratch' || names.includes(from) || PINNED.test(from), `base ${from} has no version`);
  }
  check(nodeVersionProblem(globalArgs.NODE_VERSION) === undefined, `Node ${globalArgs.NODE_VERSION}`);
  check(base === 'scratch', `the last stage starts from ${base}, which may hold a shell or a package manager`);
  check(commands.length === 0, `the last stage runs ${commands.join(', ')}`);
  check(/^[1-9]\d*:[1-9]\d*$/.test(config.user ?? ''), `user ${config.user}`);
  check(config.entrypoint[0] === '/usr/bin/tini', `process 1 is ${config.entrypoint[0]}`);
  check(config.stopSignal === 'SIGTERM', `stop signal ${config.stopSignal}`);
  check(config.ports.join() === ports.join(), `ports ${config.ports.join()}, expected ${ports.join()}`);
  const health = config.health?.command.join(' ') ?? 'none';
  const address = `127.0.0.1:${config.env.ESPALIER_HEALTH_PORT}`;
  check(health.includes(` health ${address} --service ready`), `health command: ${health}`);
  for (const name of LABELS)
    check(config.labels[`org.opencontainers.image.${name}`], `label org.opencontainers.image.${name} is missing`);
  const label = config.labels['org.opencontainers.image.version'];
  check(label === version, `label version ${label}, package.json ${version}`);
  for (const name of Object.keys(config.env).filter((key) => key.startsWith('ESPALIER_')))
    check(variables.includes(name), `${name}: no such setting`);
  for (const url of text.match(/https?:\/\/[^/\s]+/g) ?? [])
    check(url === 'https://github.com', `names the host ${url}`);
  problems.push(...copyProblems(parsed));
  return problems;
}

/** Everything that is copied from the checkout is in it, and reaches the engine past .dockerignore. */
export function copyProblems({ stages }) {
  const sent = fs
    .readFileSync(path.join(CHECKOUT, '.dockerignore'), 'utf8')
    .split('\n')
    .flatMap((line) => (line.startsWith('!') ? [line.slice(1)] : []));
  const copies = stages.flatMap(({ instructions }) => instructions.filter(({ name }) => name === 'COPY'));
  return copies.flatMap(({ flags, text }) => {
    if (flags.some(([name]) => name === 'from')) return [];
    const sources = text.split(/\s+/).slice(0, -1);
    return sources.flatMap((source) => {
      if (!fs.existsSync(path.join(CHECKOUT, source))) return [`copies ${source}, which is not there`];
      const isSent = sent.some((name) => source === name || source.startsWith(`${name}/`));
      return isSent ? [] : [`copies ${source}, which .dockerignore leaves out`];
    });
  });
}
