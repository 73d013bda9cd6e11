// Carries out Dockerfiles without a container engine: every stage in a folder of its own, each RUN in it by chroot, and what
// comes out is started in name spaces of its own, read-only, as the image's user. Needs root, mmdebstrap, and the package
// registries; this machine's own Node, npm and package index settings stand in for those of the base image.
//
// Mounts are made in a mount name space of the process that needs them and go with it, however it ends.

import { execFileSync, spawn } from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';
import { SetupProblem } from '../../setup/problem.mjs';
import { captureOrFail } from '../../setup/run-command.mjs';
import { baseOf, emptyConfig, globalArgsOf, parseDockerfile, walkStage } from './dockerfile.mjs';

const BASE = /^node:(\d+\.\d+\.\d+)-bookworm-slim$/;
const DEVICES = ['null', 'zero', 'full', 'random', 'urandom', 'tty'];
const NAME_SPACES = ['--mount', '--pid', '--fork', '--kill-child=SIGKILL', '--propagation', 'private'];

export class RootFileSystems {
  #folder;
  #context;
  #secrets;
  #bases = new Map();

  /** @param folder for everything; whoever gives it removes it. @param secrets files by the ids of `RUN --mount=type=secret`. */
  constructor(context, folder, secrets) {
    this.#context = context;
    this.#folder = folder;
    this.#secrets = secrets;
  }

  name = 'a root file system of mmdebstrap';

  /** Carries out all stages up to the named or the last one. @returns the image. @throws SetupProblem where a command fails. */
  async build({ file, target = null, buildArgs }) {
    const { root, say } = this.#context;
    const parsed = parseDockerfile(fs.readFileSync(path.join(root, file), 'utf8'));
    const globalArgs = globalArgsOf(parsed, buildArgs);
    const stages = {};
    const folder = fs.mkdtempSync(path.join(this.#folder, `${path.basename(file, '.Dockerfile')}-`));
    for (const [index, stage] of parsed.stages.entries()) {
      const name = stage.name ?? `final-${index}`;
      const base = baseOf(stage, globalArgs);
      const stageRoot = path.join(folder, name);
      fs.mkdirSync(stageRoot);
      say(`${file}: stage ${stage.name ?? 'final'} from ${base}`);
      if (base !== 'scratch') await this.#unpack(base, stageRoot);
      const run = (command) => this.#run(stageRoot, command);
      const copy = (files) => copyInto(stageRoot, files, files.from === null ? root : stages[files.from].root, root);
      const makeFolder = (name) => fs.mkdirSync(path.join(stageRoot, name), { recursive: true });
      const actions = { run, copy, makeFolder };
      const config = await walkStage(stage, { globalArgs, buildArgs, inherited: emptyConfig(), actions });
      stages[name] = { root: stageRoot, config };
      if (target !== null && name === target) break;
    }
    const [wanted] = target === null ? Object.keys(stages).slice(-1) : [target];
    // What is not needed any more: gigabytes.
    for (const [name, stage] of Object.entries(stages))
      if (name !== wanted) fs.rmSync(stage.root, { recursive: true, force: true });
    return new RootFileSystemImage(this.#context, stages[wanted]);
  }

  /** Debian and Node, as the image of that name has them. */
  async #unpack(base, target) {
    if (!this.#bases.has(base)) this.#bases.set(base, await this.#makeBase(base));
    execFileSync('tar', ['-xf', this.#bases.get(base), '-C', target]);
  }

  async #makeBase(base) {
    const { env, signal, say } = this.#context;
    const [, version] = BASE.exec(base) ?? [];
    if (version === undefined)
      throw new SetupProblem(`${base}: only node:VERSION-bookworm-slim is known without an engine`);
    if (version !== process.versions.node)
      throw new SetupProblem(`${base}: this machine has Node ${process.versions.node}; run this with Node ${version}`);
    say(`making the base of ${base}: Debian bookworm by mmdebstrap, this machine's Node and npm`);
    const tree = path.join(this.#folder, 'base');
    const args = ['-n', '10', 'mmdebstrap', '--variant=minbase', '--quiet', 'bookworm', tree];
    await captureOrFail('mmdebstrap', 'nice', args, { env, signal });
    const local = path.join(tree, 'usr', 'local');
    fs.copyFileSync(process.execPath, path.join(local, 'bin', 'node'));
    const npm = path.join(execFileSync('npm', ['root', '--global'], { encoding: 'utf8' }).trim(), 'npm');
    fs.cpSync(npm, path.join(local, 'lib', 'node_modules', 'npm'), { recursive: true });
    fs.symlinkSync('../lib/node_modules/npm/bin/npm-cli.js', path.join(local, 'bin', 'npm'));
    fs.writeFileSync(path.join(local, 'LICENSE'), "Node's licence is in its image of the base's name.\n");
    const archive = path.join(this.#folder, 'base.tar');
    await captureOrFail('tar', 'tar', ['-cf', archive, '-C', tree, '.'], { env, signal });
    fs.rmSync(tree, { recursive: true, force: true });
    return archive;
  }

  async #run(stageRoot, { mounts, command, env, workdir }) {
    const { signal, say } = this.#context;
    say(`  RUN ${command}`);
    const script = [...mountSystem(stageRoot), ...bind('/etc/resolv.conf', path.join(stageRoot, 'etc/resolv.conf'))];
    for (const mount of mounts) script.push(...this.#mount(stageRoot, mount));
    const words = ['chroot', stageRoot, '/usr/bin/env', '-i', ...variables({ HOME: '/root', ...env })];
    script.push(`exec ${words.map(quote).join(' ')} /bin/sh -c ${quote(`cd ${workdir} && ${command}`)}`);
    const args = ['-n', '10', 'unshare', ...NAME_SPACES, 'sh', '-euc', script.join('\n')];
    await captureOrFail(`RUN ${command}`, 'nice', args, { env: process.env, signal });
  }

  #mount(stageRoot, { type, id, target = `/run/secrets/${id}` }) {
    if (type !== 'secret') throw new SetupProblem(`RUN --mount=type=${type}: only secrets are known without an engine`);
    return this.#secrets[id] === undefined ? [] : bind(this.#secrets[id], path.join(stageRoot, target));
  }
}

export class RootFileSystemImage {
  #context;

  constructor(context, { root, config }) {
    this.#context = context;
    this.root = root;
    this.config = config;
    for (const folder of ['proc', 'dev', 'tmp', 'etc']) fs.mkdirSync(path.join(root, folder), { recursive: true });
  }

  /** Bytes of its files. A file with several names counts once. */
  async sizeBytes() {
    const { env, signal } = this.#context;
    const text = await captureOrFail('du', 'du', ['--summarize', '--block-size=1', '--one-file-system', this.root], {
      env,
      signal,
    });
    return Number.parseInt(text, 10);
  }

  /** Paths of all files that are no folders. */
  async listFiles() {
    return fs
      .readdirSync(this.root, { recursive: true, withFileTypes: true })
      .filter((entry) => !entry.isDirectory())
      .map((entry) => path.join('/', path.relative(this.root, entry.parentPath ?? entry.path), entry.name));
  }

  /** Starts a process as a container engine would with a read-only root, no rights, and the host's network.
   * @param volumes folders of this machine by paths in the image. @param entrypoint in place of the image's.
   * @returns a child process; `stopChild(child, signal)` ends it. */
  start({ command = this.config.command, entrypoint = this.config.entrypoint, env = {}, volumes = {} } = {}) {
    const { root, config } = this;
    const script = [`mount --bind ${quote(root)} ${quote(root)}`];
    script.push(...mountSystem(root), `mount -t tmpfs -o mode=1777 tmp ${quote(path.join(root, 'tmp'))}`);
    for (const [target, source] of Object.entries(volumes)) script.push(...bind(source, path.join(root, target)));
    for (const file of ['resolv.conf', 'hosts']) script.push(...bind(`/etc/${file}`, path.join(root, 'etc', file)));
    script.push(`mount -o remount,bind,ro ${quote(root)}`);
    const [uid, gid = uid] = (config.user ?? '0').split(':');
    const words = ['setpriv', '--no-new-privs', 'env', '-i', ...variables({ ...config.env, ...env })];
    words.push(execFileSync('which', ['chroot'], { encoding: 'utf8' }).trim());
    words.push(`--userspec=${uid}:${gid}`, `--groups=${gid}`, root, ...entrypoint, ...command);
    script.push(`exec ${words.map(quote).join(' ')}`);
    const args = [...NAME_SPACES, 'sh', '-euc', script.join('\n')];
    return spawn('unshare', args, { stdio: ['ignore', 'pipe', 'pipe'] });
  }

  /** Sends a signal to process 1 of the name space, which is the only child of unshare. */
  stop(child, signalName) {
    const [pid] = fs.readFileSync(`/proc/${child.pid}/task/${child.pid}/children`, 'utf8').split(' ');
    if (pid !== '') process.kill(Number(pid), signalName);
  }
}

function copyInto(stageRoot, { chown, sources, target, workdir }, from, checkout) {
  const to = path.join(stageRoot, target.startsWith('/') ? target : path.join(workdir, target));
  for (const source of sources) {
    const file = path.join(from, source);
    const isFolder = fs.statSync(file).isDirectory();
    const intoFolder = isFolder || target.endsWith('/') || sources.length > 1;
    fs.mkdirSync(intoFolder ? to : path.dirname(to), { recursive: true });
    // Files of a stage go with it, or come along as they are: gigabytes need not be there twice.
    const how = from === checkout ? ['--archive'] : ['--archive', '--link'];
    execFileSync('cp', [...how, isFolder ? `${file}/.` : file, intoFolder ? `${to}/` : to]);
  }
  // Files of another stage keep their owner.
  if (chown !== null || from === checkout) execFileSync('chown', ['--recursive', chown ?? 'root:root', to]);
}

function mountSystem(root) {
  const at = (name) => quote(path.join(root, name));
  return [
    `mkdir -p ${at('proc')} ${at('dev')}`,
    `mount -t proc proc ${at('proc')}`,
    `mount -t tmpfs -o mode=755 dev ${at('dev')}`,
    ...DEVICES.flatMap((name) => bind(`/dev/${name}`, path.join(root, 'dev', name))),
    `ln -s /proc/self/fd ${at('dev/fd')}`,
    `mkdir ${at('dev/shm')}`,
    `mount -t tmpfs -o mode=1777 shm ${at('dev/shm')}`,
  ];
}

/** Puts a file or folder at another place too; the place is made where it is missing. */
function bind(source, target) {
  const make = fs.statSync(source).isDirectory()
    ? `mkdir -p ${quote(target)}`
    : `mkdir -p ${quote(path.dirname(target))} && { [ -e ${quote(target)} ] || : >${quote(target)}; }`;
  return [make, `mount --bind ${quote(source)} ${quote(target)}`];
}

function variables(env) {
  return Object.entries(env).map(([name, value]) => `${name}=${value}`);
}

function quote(text) {
  return `'${String(text).replaceAll("'", `'\\''`)}'`;
}
