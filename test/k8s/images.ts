// What the tests put in the place of things that only a real cluster has. All of it is here; whatever else a pod has comes
// from its manifest as the API server stored it.
//
// - Images: a container is the program of this checkout that its image holds, with the entry point, user, folder and
//   variables that the image's Dockerfile states (without its init: see sandbox.ts), in a root
//   file system of its own that is made of this machine's /usr. nats-server is the lab's. The tag chooses nothing: every
//   version is this build.
// - GPUs: nodes and the scheduler count them, but there is none: ESPALIER_DEVICE "gpu" becomes "cpu".
// - cert-manager: `certificate-issuer.ts` makes the Secrets that its Certificates ask for.
// - kube-dns and kube-proxy: `cluster-dns.ts`.
// - Not enforced: NetworkPolicies, limits of CPU and memory, seccomp.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import path from 'node:path';
import { projectRoot } from '../../shared/project-root.ts';
import type { Container } from './kube-objects.ts';
import type { Lab } from './lab.ts';

export interface Program {
  readonly command: readonly string[];
  readonly env: Readonly<Record<string, string>>;
  /** Folders and files of this machine, each with where it lies in the image. */
  readonly binds: readonly (readonly [source: string, target: string])[];
  /** User of the image, where the manifest names none. */
  readonly user: number;
  readonly workingDir: string;
}

/** What an image has that is not needed here: its own init, and Node where it lies in the image. */
const INIT = ['/usr/bin/tini', '--'];
const NODE_IN_IMAGE = '/usr/local/bin/node';
/** What images have of the checkout. */
const CHECKOUT = [
  ...['package.json', 'node_modules', 'dist', 'protos', 'cli/espalier.mjs', 'setup/node-version.mjs'],
  ...['checkpoint/python/espalier_model.py', 'coordinator/campaign/campaign.schema.json'],
];

/** What runs in a container of this image. @throws for an image that the manifests should not name. */
export function programOf(lab: Lab, { image, command, args }: Container): Program {
  const [name] = image
    .replace(/@sha256:.*$/, '')
    .replace(/:[^:/]+$/, '')
    .split('/')
    .reverse();
  const program = programs(lab)[name];
  if (program === undefined) throw new Error(`no program for the image ${image}`);
  const entry = command ?? program.entry;
  return { ...program, command: [...entry, ...(args ?? (command === undefined ? program.args : []))] };
}

/** What only a GPU could do. */
export function mappedEnv(env: Readonly<Record<string, string>>): Record<string, string> {
  return { ...env, ...(env.ESPALIER_DEVICE === undefined ? {} : { ESPALIER_DEVICE: 'cpu' }) };
}

function programs(lab: Lab): Readonly<Record<string, Omit<Program, 'command'> & Record<'entry' | 'args', string[]>>> {
  const root = projectRoot();
  const binds = CHECKOUT.map((name) => [path.join(root, name), path.join('/opt/espalier', name)] as const);
  const ours = (name: string) => ({ ...imageOf(name), binds });
  return {
    coordinator: ours('coordinator'),
    worker: ours('worker'),
    nats: {
      entry: ['nats-server'],
      args: [],
      env: { PATH: '/usr/bin:/image' },
      binds: [[lab.program('nats-server'), '/image/nats-server']],
      user: 0,
      workingDir: '/',
    },
  };
}

/** What the Dockerfile of an image says of its last stage. */
function imageOf(name: string): Omit<Program, 'command' | 'binds'> & Record<'entry' | 'args', string[]> {
  const file = path.join(projectRoot(), 'deploy/images', `${name}.Dockerfile`);
  const stage =
    readFileSync(file, 'utf8')
      .split(/^FROM /m)
      .at(-1) ?? '';
  const words = (instruction: string) => stage.match(new RegExp(`^${instruction} (.*)$`, 'm'))?.[1] ?? '';
  const list = (instruction: string) => JSON.parse(words(instruction)) as string[];
  const entry = list('ENTRYPOINT');
  assert.deepEqual(entry.slice(0, INIT.length), INIT, `${file}: ENTRYPOINT`);
  const variables = [...stage.matchAll(/^ENV (\w+)=(\S+)$/gm)].map(([, variable, value]) => [variable, value] as const);
  return {
    entry: entry.slice(INIT.length).map((word) => (word === NODE_IN_IMAGE ? 'node' : word)),
    args: list('CMD'),
    env: { ...Object.fromEntries(variables), TF_CPP_MIN_LOG_LEVEL: '2' },
    user: Number.parseInt(words('USER'), 10),
    workingDir: words('WORKDIR'),
  };
}
