// The Kubernetes lab for the time of the tests: etcd, API server, controller manager, scheduler, KEDA, and kwok, which
// simulates the nodes. kwok leaves the pods of our namespace to the node agent.
//
// It must run in namespaces of its own (setup/run-k8s.mjs): it brings up a network, and mounts over /run and
// /etc/resolv.conf.
import { execFile, execFileSync } from 'node:child_process';
import { copyFileSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { parseAllDocuments, stringify } from 'yaml';
import { NAMESPACE } from './names.ts';

/** Of the network of pods; the node agent gives out the others. */
export const BRIDGE_ADDRESS = '10.244.0.1';
export const BRIDGE = 'pods0';
/** Of kube-dns, as clusters have it. */
export const DNS_ADDRESS = '10.96.0.10';

const START_MS = 180_000;
const COMMAND_MS = 90_000;
const MAX_OUTPUT_BYTES = 64 * 1024 * 1024;
/** The lab's KEDA takes names for NATS from a file of hosts; here it asks the cluster's DNS. */
const NO_NAME = 'unused.invalid';

export interface Answer {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

interface Stage {
  spec: {
    resourceRef: { kind: string };
    selector?: { matchExpressions?: unknown[] };
  };
}

export class Lab {
  readonly folder: string;
  readonly #script: string;
  readonly #home: string;
  readonly #env: NodeJS.ProcessEnv;

  private constructor(folder: string, script: string, home: string) {
    this.folder = folder;
    this.#script = script;
    this.#home = home;
    this.#env = {
      ...process.env,
      LAB_HOME: home,
      LAB_RUN: path.join(folder, 'lab'),
      LAB_ASSETS: path.join(folder, 'assets'),
      HOME: folder,
      KUBECONFIG: this.kubeconfig,
      NATS_NAMES: NO_NAME,
      GPU_TAINT: '1',
    };
  }

  /** Brings up network, control plane and nodes. Whoever starts it stops it. */
  static async start({ gpuNodes, cpuNodes }: { gpuNodes: number; cpuNodes: number }): Promise<Lab> {
    const [folder, script, home] = ['ESPALIER_K8S_RUN', 'ESPALIER_K8S_LAB', 'LAB_HOME'].map(required);
    const lab = new Lab(folder, path.join(script, 'cluster.sh'), home);
    lab.#bringUpNetwork();
    lab.#writeAssets();
    await lab.cluster('up', String(gpuNodes), String(cpuNodes));
    return lab;
  }

  get kubeconfig(): string {
    return path.join(this.folder, 'lab', 'cfg', 'admin.kubeconfig');
  }

  /** A program that the lab was built with. */
  program(name: string): string {
    return path.join(this.#home, 'bin', name);
  }

  /** Runs a command of the lab's cluster.sh. @throws with what it printed when it fails. */
  async cluster(...args: readonly string[]): Promise<string> {
    const { code, stdout, stderr } = await this.#run(this.#script, args, START_MS);
    if (code !== 0) throw new Error(`cluster.sh ${args.join(' ')} ended with ${code}: ${stderr || stdout}`);
    return stdout;
  }

  /** Runs kubectl, however it ends. */
  kubectl(args: readonly string[], timeoutMs = COMMAND_MS): Promise<Answer> {
    return this.#run(this.program('kubectl'), args, timeoutMs);
  }

  /** Runs kubectl with an object as its standard input. */
  kubectlInput(args: readonly string[], object: object): Promise<Answer> {
    return this.#run(this.program('kubectl'), args, COMMAND_MS, JSON.stringify(object));
  }

  /** @returns what kubectl printed. @throws when it fails or warns. */
  async kubectlOk(...args: readonly string[]): Promise<string> {
    const { code, stdout, stderr } = await this.kubectl(args);
    if (code !== 0 || stderr !== '')
      throw new Error(`kubectl ${args.join(' ')} ended with ${code}: ${stderr || stdout}`);
    return stdout;
  }

  /** Ends everything that runs, by the ids that the lab has recorded. */
  async stop(): Promise<void> {
    await this.cluster('down');
  }

  #run(command: string, args: readonly string[], timeout: number, input = ''): Promise<Answer> {
    const settings = { env: this.#env, timeout, maxBuffer: MAX_OUTPUT_BYTES, killSignal: 'SIGKILL' as const };
    return new Promise((resolve) => {
      const child = execFile(command, args, settings, (error, stdout, stderr) => {
        const code = error === null ? 0 : typeof error.code === 'number' ? error.code : -1;
        resolve({ code, stdout, stderr: error?.killed ? `${stderr}(not done after ${timeout} ms)` : stderr });
      });
      child.stdin?.on('error', () => {}).end(input);
    });
  }

  /** A bridge for the pods, and the cluster's DNS as the resolver of every process of the lab. */
  #bringUpNetwork(): void {
    const resolver = path.join(this.folder, 'resolv.conf');
    const domains = [`${NAMESPACE}.svc.cluster.local`, 'svc.cluster.local', 'cluster.local'];
    writeFileSync(resolver, `nameserver ${DNS_ADDRESS}\nsearch ${domains.join(' ')}\noptions ndots:5\n`);
    execFileSync('bash', [
      '-euc',
      `mount -t tmpfs tmpfs /run
      mount --bind ${resolver} /etc/resolv.conf
      ip link set lo up
      ip link add ${BRIDGE} type bridge
      ip address add ${BRIDGE_ADDRESS}/16 dev ${BRIDGE}
      ip address add ${DNS_ADDRESS}/32 dev ${BRIDGE}
      ip link set ${BRIDGE} up`,
    ]);
  }

  /** The lab's assets, with stages of pods that leave out our namespace. */
  #writeAssets(): void {
    const [from, to] = [path.join(this.#home, 'assets'), path.join(this.folder, 'assets')];
    mkdirSync(to);
    for (const name of ['keda-crds.yaml', 'storage-class.yaml'])
      copyFileSync(path.join(from, name), path.join(to, name));
    const stages = parseAllDocuments(readFileSync(path.join(from, 'kwok-stages.yaml'), 'utf8'))
      .map((document) => document.toJS() as Stage | null)
      .filter((stage) => stage !== null);
    for (const { spec } of stages) {
      if (spec.resourceRef.kind !== 'Pod') continue;
      spec.selector ??= {};
      spec.selector.matchExpressions ??= [];
      spec.selector.matchExpressions.push({ key: '.metadata.namespace', operator: 'NotIn', values: [NAMESPACE] });
    }
    writeFileSync(path.join(to, 'kwok-stages.yaml'), stages.map((stage) => stringify(stage)).join('---\n'));
  }
}

function required(name: string): string {
  const value = process.env[name];
  if (!value) throw new Error(`${name} is not set: these tests run by npm run test:k8s`);
  return value;
}
