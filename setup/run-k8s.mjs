// `npm run test:k8s`: the manifests of k8s/ on a real Kubernetes control plane, with our processes as the containers of its
// pods (test/k8s). All of it runs in namespaces of its own for processes, network and mounts: nothing listens outside
// of them, and when the first process in them ends, even by `kill -9`, the kernel ends all others.

import { spawn } from 'node:child_process';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { writeDemoData } from './demo-data.mjs';
import { SetupProblem } from './problem.mjs';
import { capture, captureOrFail } from './run-command.mjs';

const LAB_VARIABLE = 'ESPALIER_K8S_LAB';
const LAB_PROGRAMS = [
  ...['etcd', 'kube-apiserver', 'kube-controller-manager', 'kube-scheduler', 'kubectl', 'kwok', 'nats-server'],
  ...['keda-operator', 'keda-adapter', 'keda-webhooks'],
];
const MACHINE_PROGRAMS = ['bash', 'unshare', 'nsenter', 'setpriv', 'ip', 'openssl', 'curl'];
/** Whose kinds the overlays use without their programs: their modules hold the definitions. */
const DEFINITIONS = [
  {
    module: 'github.com/cert-manager/cert-manager',
    version: 'v1.21.2',
    folder: 'deploy/crds',
    files: /^cert-manager\.io_(certificates|issuers|clusterissuers)\.yaml$/,
  },
  {
    module: 'github.com/prometheus-operator/prometheus-operator',
    version: 'v0.85.0',
    folder: 'example/prometheus-operator-crd',
    files: /^monitoring\.coreos\.com_(servicemonitors|podmonitors|prometheusrules)\.yaml$/,
  },
];
const NAMESPACES = ['--net', '--mount', '--pid', '--ipc', '--uts', '--fork', '--kill-child', '--mount-proc'];
const SIGNALS = { SIGINT: 130, SIGTERM: 143, SIGHUP: 129 };

/** @param words only the parts whose names hold one of them. @returns the exit code. @throws SetupProblem that says in one
 * line what is missing. */
export async function runK8s(context, words = []) {
  const lab = labOf(context);
  await requireAll(context, lab);
  const definitions = await ensureDefinitions(context, lab.home);
  writeDemoData(context);
  const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'espalier-k8s-'));
  // The pods' users must be able to reach their folders below it.
  fs.chmodSync(folder, 0o711);
  try {
    const env = {
      ...context.env,
      TF_CPP_MIN_LOG_LEVEL: '2',
      [LAB_VARIABLE]: lab.folder,
      LAB_HOME: lab.home,
      ESPALIER_K8S_RUN: folder,
      ESPALIER_K8S_DEFINITIONS: definitions.join(path.delimiter),
      ESPALIER_K8S_PARTS: words.join(' '),
    };
    const tests = path.join('dist', 'test', 'k8s', 'kubernetes.test.js');
    const flags = ['--enable-source-maps', '--test', '--test-reporter=spec', tests];
    return await runInNamespaces(context, [process.execPath, ...flags], env);
  } finally {
    // After a signal the kernel may still be ending processes that write there.
    fs.rmSync(folder, { recursive: true, force: true, maxRetries: 20, retryDelay: 100 });
  }
}

function labOf({ root, env }) {
  const folder = path.resolve(env[LAB_VARIABLE] ?? path.join(root, '../shared/tools/k8s-lab'));
  const caches = env.XDG_CACHE_HOME ?? path.join(env.HOME || os.homedir(), '.cache');
  return { folder, home: path.resolve(env.LAB_HOME ?? path.join(caches, 'k8s-lab')) };
}

async function requireAll({ env, signal }, { folder, home }) {
  if (!fs.existsSync(path.join(folder, 'cluster.sh')))
    throw new SetupProblem(
      `there is no cluster.sh in ${folder}: ${LAB_VARIABLE} names the folder of the Kubernetes lab`,
    );
  const missing = LAB_PROGRAMS.filter((name) => !fs.existsSync(path.join(home, 'bin', name)));
  if (missing.length > 0)
    throw new SetupProblem(
      `${path.join(home, 'bin')} lacks ${missing.join(', ')}: run ${path.join(folder, 'build.sh')}`,
    );
  const { code } = await capture('unshare', [...NAMESPACES, 'true'], { env, signal });
  if (code !== 0) throw new SetupProblem('new namespaces are refused (unshare): test:k8s needs root on Linux');
  const { stdout } = await capture('bash', ['-c', `type -P ${MACHINE_PROGRAMS.join(' ')}`], { env, signal });
  const lacking = MACHINE_PROGRAMS.filter((name) => !stdout.split('\n').some((file) => file.endsWith(`/${name}`)));
  if (lacking.length > 0)
    throw new SetupProblem(
      `missing: ${lacking.join(', ')}; on Debian: apt-get install util-linux iproute2 openssl curl`,
    );
}

/** Takes the definitions from their modules once and keeps them in the lab's home. @returns the files. */
async function ensureDefinitions({ env, signal }, home) {
  const folders = DEFINITIONS.map(({ module, version }) =>
    path.join(home, 'definitions', `${path.basename(module)}-${version}`),
  );
  for (const [index, { module, version, folder, files }] of DEFINITIONS.entries()) {
    if (fs.existsSync(folders[index])) continue;
    const go = { ...env, PATH: `${env.PATH}${path.delimiter}/usr/local/go/bin` };
    const told = await captureOrFail(
      `the definitions of ${module}`,
      'go',
      ['mod', 'download', '-json', `${module}@${version}`],
      { cwd: os.tmpdir(), env: go, signal },
    );
    const source = path.join(JSON.parse(told).Dir, folder);
    const scratch = `${folders[index]}.part-${process.pid}`;
    fs.mkdirSync(scratch, { recursive: true });
    for (const name of fs.readdirSync(source).filter((each) => files.test(each)))
      fs.writeFileSync(path.join(scratch, name), fs.readFileSync(path.join(source, name)));
    fs.renameSync(scratch, folders[index]);
  }
  return folders.flatMap((folder) => fs.readdirSync(folder).map((name) => path.join(folder, name)));
}

/** Runs a command as the first process of its namespaces. A signal ends all of them at once: what they hold is gone with
 * them or lies in the folder that is removed. */
async function runInNamespaces({ root, signal }, command, env) {
  signal.throwIfAborted();
  const child = spawn('unshare', [...NAMESPACES, ...command], { cwd: root, env, stdio: 'inherit', detached: true });
  let ended = null;
  const end = (name) => {
    ended = name;
    child.kill('SIGKILL');
  };
  for (const name of Object.keys(SIGNALS)) process.on(name, end);
  try {
    return await new Promise((resolve, reject) => {
      child.on('error', reject);
      child.on('exit', (code) => resolve(ended === null ? (code ?? 1) : SIGNALS[ended]));
    });
  } finally {
    for (const name of Object.keys(SIGNALS)) process.off(name, end);
  }
}
