// A container without a container runtime: a process in namespaces of its own or of its pod, in a root file system made of this machine's /usr, what its image holds, and its volumes; as the user, with the rights and
// with the read-only root that the manifest asks for.
import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { mkdirSync, realpathSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { projectRoot } from '../../shared/project-root.ts';
import { descendantsOf } from '../support/processes.ts';
import { until } from '../support/until.ts';
import type { Program } from './images.ts';
import type { Container, Pod } from './kube-objects.ts';
import { BRIDGE, BRIDGE_ADDRESS } from './lab.ts';
import type { PreparedVolume } from './pod-volumes.ts';

const SYSTEM_FILES = ['/etc/passwd', '/etc/group', '/etc/nsswitch.conf', '/etc/ld.so.cache', '/etc/resolv.conf'];
const DEVICES = ['/dev/null', '/dev/zero', '/dev/full', '/dev/random', '/dev/urandom'];

const START_MS = 10_000;

/** What the containers of a pod share: a network with the pod's address, and a namespace of processes, in which none of
 * them is the first process: where the manifest does not ask for that, an image has an init of its own, which is as well. */
export class PodSandbox {
  readonly #name: string;
  readonly #first: ChildProcess;

  private constructor(name: string, first: ChildProcess) {
    this.#name = name;
    this.#first = first;
  }

  /** @param index distinct among all pods of the lab. */
  static async start(index: number, address: string): Promise<PodSandbox> {
    const name = `pod${index}`;
    const ip = (...args: string[]) => execFileSync('ip', args, { stdio: 'pipe' });
    ip('netns', 'add', name);
    ip('link', 'add', name, 'type', 'veth', 'peer', 'name', 'eth0', 'netns', name);
    ip('link', 'set', name, 'master', BRIDGE, 'up');
    ip('-n', name, 'address', 'add', `${address}/16`, 'dev', 'eth0');
    for (const link of ['lo', 'eth0']) ip('-n', name, 'link', 'set', link, 'up');
    ip('-n', name, 'route', 'add', 'default', 'via', BRIDGE_ADDRESS);
    const inside = ['unshare', '--pid', '--ipc', '--uts', '--fork', '--kill-child', 'sleep', 'infinity'];
    const sandbox = new PodSandbox(name, spawn('ip', ['netns', 'exec', name, ...inside], { stdio: 'ignore' }));
    await until(`pod ${index} has a first process`, () => sandbox.#firstPid() !== null, START_MS);
    return sandbox;
  }

  /** Starts a program beside the others. */
  enter(command: readonly string[]): ChildProcess {
    const into = ['--target', String(this.#firstPid()), '--net', '--pid', '--ipc', '--uts', '--'];
    return spawn('nsenter', [...into, ...command], { stdio: ['ignore', 'pipe', 'pipe'] });
  }

  #firstPid(): number | null {
    return descendantsOf(this.#first.pid ?? 0)[0] ?? null;
  }

  /** Ends all that still runs in it. */
  remove(): void {
    this.#first.kill('SIGKILL');
    execFileSync('ip', ['netns', 'delete', this.#name], { stdio: 'pipe' });
  }
}

export interface ContainerPlan {
  readonly folder: string;
  readonly pod: Pod;
  readonly container: Container;
  readonly program: Program;
  readonly env: Readonly<Record<string, string>>;
  readonly volumes: ReadonlyMap<string, PreparedVolume>;
  readonly sandbox: PodSandbox;
}

/** Starts the container's program. The process that is returned ends as it does. */
export function startContainer(plan: ContainerPlan): ChildProcess {
  const script = path.join(plan.folder, 'start.sh');
  writeFileSync(script, startScript(plan));
  return plan.sandbox.enter(['unshare', '--mount', 'bash', script]);
}

function startScript({ folder, pod, container, program, env, volumes }: ContainerPlan): string {
  const root = path.join(folder, 'root');
  mkdirSync(root, { recursive: true });
  const security = { ...pod.spec.securityContext, ...container.securityContext };
  const { runAsUser = program.user, runAsGroup = runAsUser, fsGroup, readOnlyRootFilesystem } = security;
  const binds: (readonly [source: string, target: string, readOnly: boolean])[] = [
    ...SYSTEM_FILES.map((file) => [realpathSync(file), file, true] as const),
    ...[...program.binds, ...engineLibraries()].map(([source, target]) => [source, target, true] as const),
    ...(container.volumeMounts ?? []).map(({ name, mountPath, subPath, readOnly }) => {
      const volume = volumes.get(name);
      if (volume === undefined) throw new Error(`container ${container.name} mounts ${name}, which is no volume`);
      return [path.join(volume.folder, subPath ?? ''), mountPath, volume.readOnly || readOnly === true] as const;
    }),
  ];
  const user = ['--reuid', runAsUser, '--regid', runAsGroup, ...(fsGroup ? ['--groups', fsGroup] : ['--clear-groups'])];
  const rights = ['--bounding-set', '-all', '--inh-caps', '-all', '--no-new-privs'];
  const given = Object.entries({ ...program.env, HOSTNAME: pod.metadata.name, ...env });
  const folderIn = container.workingDir ?? program.workingDir;
  const words = ['setpriv', ...user.map(String), ...rights, '--', 'env', '-i', '-C', folderIn];
  const command = [...words, ...given.map((pair) => pair.join('=')), ...program.command];
  return `set -euo pipefail
mount --make-rprivate /
mount -t tmpfs -o mode=755 tmpfs ${root}
cd ${root}
mkdir -p usr proc dev etc tmp
mount --rbind /usr usr
mount -o remount,bind,ro usr
for name in bin sbin lib lib64; do ln -s usr/$name $name; done
mount -t proc proc proc
chmod 1777 tmp
bind() { # SOURCE TARGET MODE
  if [ -d "$1" ]; then mkdir -p "./$2"; else mkdir -p "./$(dirname "$2")"; : >"./$2"; fi
  mount --bind "$1" "./$2"
  [ "$3" = rw ] || mount -o remount,bind,ro "./$2"
}
${DEVICES.map((file) => `bind ${file} ${file} rw`).join('\n')}
printf '127.0.0.1 localhost\\n' >etc/hosts
${binds.map(([source, target, readOnly]) => `bind ${quote(source)} ${quote(target)} ${readOnly ? 'ro' : 'rw'}`).join('\n')}
hostname ${quote(pod.spec.hostname ?? pod.metadata.name)}
${readOnlyRootFilesystem ? 'mount -o remount,ro .' : ''}
exec chroot . ${command.map(quote).join(' ')}
`;
}

/** The set-up links the engine's libraries from the user's cache; the link must lead to them inside too. */
function engineLibraries(): [string, string][] {
  const linked = realpathSync(path.join(projectRoot(), 'node_modules/@tensorflow/tfjs-node-gpu/deps'));
  return [[linked, linked]];
}

function quote(text: string): string {
  return `'${text.replaceAll("'", `'\\''`)}'`;
}
