// Builds and starts images with docker or podman.

import { spawn, spawnSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { SetupProblem } from '../../setup/problem.mjs';
import { captureOrFail } from '../../setup/run-command.mjs';

const ENGINES = ['docker', 'podman'];

/** The first engine that answers, or undefined. */
export function findEngine() {
  return ENGINES.find((engine) => spawnSync(engine, ['info'], { stdio: 'ignore', timeout: 20_000 }).status === 0);
}

export class ContainerEngine {
  #context;
  #secrets;

  /** @param secrets files by the ids of `RUN --mount=type=secret`. */
  constructor(context, name, secrets) {
    this.#context = context;
    this.#secrets = secrets;
    this.name = name;
  }

  async build({ file, target = null, buildArgs, tag }) {
    const args = ['build', '--file', file, '--tag', tag];
    // Without it podman leaves the health command out.
    if (this.name === 'podman') args.push('--format', 'docker');
    if (target !== null) args.push('--target', target);
    for (const [name, value] of Object.entries(buildArgs)) args.push('--build-arg', `${name}=${value}`);
    for (const [id, source] of Object.entries(this.#secrets)) args.push('--secret', `id=${id},src=${source}`);
    this.#context.say(`${this.name} ${args.join(' ')} .`);
    const code = await this.#show([...args, '.']);
    if (code !== 0) throw new SetupProblem(`${this.name} build of ${file} ended with exit code ${code}`);
    return new EngineImage(this.#context, this.name, tag, await this.#inspect(tag));
  }

  async #show(args) {
    const { root, env, signal } = this.#context;
    const [code] = await once(spawn(this.name, args, { cwd: root, env, signal, stdio: 'inherit' }), 'exit');
    return code;
  }

  /** What the image says of itself, in the words of `walkStage`. */
  async #inspect(tag) {
    const text = await captureOrFail(`${this.name} inspect`, this.name, ['image', 'inspect', tag], this.#context);
    // podman has it beside the configuration.
    const [{ Config, Size, Healthcheck = Config.Healthcheck }] = JSON.parse(text);
    return {
      sizeBytes: Size,
      config: {
        user: Config.User,
        labels: Config.Labels ?? {},
        entrypoint: Config.Entrypoint ?? [],
        command: Config.Cmd ?? [],
        health: Healthcheck?.Test === undefined ? null : { command: Healthcheck.Test.slice(1) },
      },
    };
  }
}

class EngineImage {
  #context;
  #engine;
  #tag;
  #sizeBytes;

  constructor(context, engine, tag, { config, sizeBytes }) {
    this.#context = context;
    this.#engine = engine;
    this.#tag = tag;
    this.#sizeBytes = sizeBytes;
    this.config = config;
  }

  async sizeBytes() {
    return this.#sizeBytes;
  }

  async listFiles() {
    const name = `espalier-${randomBytes(6).toString('hex')}`;
    await captureOrFail('create', this.#engine, ['create', '--name', name, this.#tag], this.#context);
    try {
      const list = ['-c', '"$0" export "$1" | tar -t', this.#engine, name];
      const text = await captureOrFail('export', 'sh', list, this.#context);
      return text.split('\n').flatMap((file) => (file === '' || file.endsWith('/') ? [] : [`/${file}`]));
    } finally {
      spawnSync(this.#engine, ['rm', '--force', name], { stdio: 'ignore' });
    }
  }

  /** Starts a container with a read-only root, no rights, and the host's network.
   * @param volumes folders of this machine by paths in the image. @param entrypoint in place of the image's.
   * @returns a child process; `stop(child, signal)` ends it. */
  start({ command = this.config.command, entrypoint = this.config.entrypoint, env = {}, volumes = {} } = {}) {
    const name = `espalier-${randomBytes(6).toString('hex')}`;
    const args = ['run', '--rm', '--name', name, '--read-only', '--tmpfs', '/tmp', '--network', 'host'];
    args.push('--cap-drop', 'ALL', '--security-opt', 'no-new-privileges');
    for (const [key, value] of Object.entries(env)) args.push('--env', `${key}=${value}`);
    for (const [target, source] of Object.entries(volumes)) args.push('--volume', `${source}:${target}`);
    const [program, ...rest] = entrypoint;
    args.push('--entrypoint', program, this.#tag, ...rest, ...command);
    const child = spawn(this.#engine, args, { stdio: ['ignore', 'pipe', 'pipe'] });
    child.containerName = name;
    return child;
  }

  stop(child, signalName) {
    spawnSync(this.#engine, ['kill', '--signal', signalName, child.containerName], { stdio: 'ignore' });
  }
}
