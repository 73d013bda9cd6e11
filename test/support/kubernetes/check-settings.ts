// The settings in ConfigMaps and containers are those that the processes accept, and agree with what stands around them:
// ports, probes, volumes, certificates, grace periods, GPUs.
import { type CoordinatorConfig, parseCoordinatorConfig } from '../../../coordinator/config.ts';
import { TASK_DEADLINE_MS } from '../../../coordinator/job/job-context.ts';
import type { BusSettings } from '../../../shared/bus/bus.ts';
import { toEspalierError } from '../../../shared/errors.ts';
import type { TlsFiles } from '../../../shared/rpc/tls-files.ts';
import { parseWorkerConfig, type WorkerConfig } from '../../../worker/config.ts';
import { isConfigMap, mountedFiles } from './check-references.ts';
import { type Container, type KubeObject, type PodSpec, quantity, type Workload, workloadsOf } from './objects.ts';

/** What the API server knows only when a pod runs. */
const FIELDS: Readonly<Record<string, string>> = {
  'status.podIP': '10.1.2.3',
  'metadata.name': 'coordinator-6d5f7c9b8d-x2x4z',
};
/** Of a coordinator: ten seconds of drain and three to close. */
const COORDINATOR_END_SECONDS = 13;
/** Of a worker beside its drain, and of a supervisor once more. */
const WORKER_END_SECONDS = 5;

type Hosts = Readonly<Record<string, readonly string[]>>;

/** @param hosts names that certificates are made for, by role. @returns what is wrong, a line each. */
export function checkSettings(objects: readonly KubeObject[], hosts: Hosts): string[] {
  return workloadsOf(objects).flatMap((workload) =>
    workload.containers.flatMap((container) => {
      const read = READERS[container.name];
      if (read === undefined) return [];
      return read(container, workload, objects, hosts).map((problem) => `container ${container.name}: ${problem}`);
    }),
  );
}

type Reader = (container: Container, workload: Workload, objects: readonly KubeObject[], hosts: Hosts) => string[];

const READERS: Readonly<Record<string, Reader>> = { coordinator: coordinatorProblems, worker: workerProblems };

function coordinatorProblems(container: Container, workload: Workload, objects: readonly KubeObject[], hosts: Hosts) {
  const { config, problems } = configOf(parseCoordinatorConfig, container, objects);
  if (config === null) return problems;
  problems.push(...commonProblems(config, container, workload, objects, hosts));
  problems.push(...portProblems(container, 'grpc', config.port, 1));
  problems.push(...portProblems(container, 'metrics', config.metricsPort, 1));
  problems.push(...cacheProblems(config.cacheDir, config.cacheLimitBytes, container, workload.pod));
  if (config.workerTlsName === null || !hosts.worker.includes(config.workerTlsName))
    problems.push(`--worker-tls-name ${config.workerTlsName}: not in the workers' certificate`);
  for (const [name, folder] of Object.entries(config.volumes)) {
    const mount = (container.volumeMounts ?? []).find(({ mountPath }) => mountPath === folder);
    if (mount?.readOnly !== true) problems.push(`--volume ${name}: nothing is mounted read-only at ${folder}`);
  }
  const preStop = container.lifecycle?.preStop?.sleep?.seconds ?? 0;
  problems.push(...graceProblems(workload.pod, preStop + COORDINATOR_END_SECONDS));
  return problems;
}

function workerProblems(container: Container, workload: Workload, objects: readonly KubeObject[], hosts: Hosts) {
  const { config, problems } = configOf(parseWorkerConfig, container, objects);
  if (config === null) return problems;
  const count = config.workers === 'auto' ? 1 : config.workers;
  problems.push(...commonProblems(config, container, workload, objects, hosts));
  problems.push(...portProblems(container, 'grpc', config.port, count));
  problems.push(...portProblems(container, 'metrics', config.metricsPort, count));
  problems.push(...cacheProblems(config.blobDir, config.blobLimitBytes, container, workload.pod));
  if (config.advertise?.host !== FIELDS['status.podIP']) problems.push('--advertise is not the address of the pod');
  if (config.drainMs < TASK_DEADLINE_MS) problems.push(`--drain-seconds: a task may take ${TASK_DEADLINE_MS / 1000} s`);
  const ends = count > 1 ? 2 : 1;
  problems.push(...graceProblems(workload.pod, config.drainMs / 1000 + ends * WORKER_END_SECONDS));
  const { limits = {} } = container.resources ?? {};
  const gpus = Number(limits['nvidia.com/gpu'] ?? 0);
  if ((config.device === 'gpu') !== gpus > 0 || config.device === 'auto')
    problems.push(`--device ${config.device} with ${gpus} GPUs`);
  if (gpus > 0 && gpus !== count) problems.push(`--workers ${count} with ${gpus} GPUs`);
  if (gpus > 0 && !workload.pod.tolerations?.some(({ key }) => key === 'nvidia.com/gpu'))
    problems.push('no toleration of the taint of GPU nodes');
  if (gpus > 0 && workload.pod.affinity?.nodeAffinity === undefined) problems.push('no affinity to GPU nodes');
  const host = count * (config.device === 'gpu' ? 0 : (config.memoryBytes ?? Number.POSITIVE_INFINITY));
  if (host >= quantity(limits.memory ?? 0)) problems.push(`--memory-gb: not below the limit ${limits.memory}`);
  return problems;
}

type Parse<Config> = (
  argv: readonly string[],
  env: Readonly<Record<string, string>>,
) => { kind: 'serve' | 'print-config'; config: Config } | { kind: 'help'; text: string };

function configOf<Config>(parse: Parse<Config>, container: Container, objects: readonly KubeObject[]) {
  const problems: string[] = [];
  const env = environmentOf(container, objects);
  const help = parse(['--help'], {});
  const known = help.kind === 'help' ? help.text : '';
  for (const name of Object.keys(env))
    if (name.startsWith('ESPALIER_') && !new RegExp(`\\b${name}\\b`).test(known)) problems.push(`${name}: unknown`);
  try {
    const command = parse(container.args ?? [], env);
    if (command.kind !== 'serve') return { config: null, problems: [...problems, `would ${command.kind}`] };
    return { config: command.config, problems };
  } catch (caught) {
    return { config: null, problems: [...problems, toEspalierError(caught).message] };
  }
}

/** As the kubelet makes it: ConfigMaps first, then the container's own. */
export function environmentOf(container: Container, objects: readonly KubeObject[]): Record<string, string> {
  const env: Record<string, string> = { HOME: '/' };
  for (const { configMapRef } of container.envFrom ?? [])
    Object.assign(env, objects.find((object) => isConfigMap(object, configMapRef?.name))?.data ?? {});
  for (const { name, value, valueFrom } of container.env ?? [])
    env[name] = value ?? FIELDS[valueFrom?.fieldRef?.fieldPath ?? ''] ?? '';
  return env;
}

interface CommonConfig {
  readonly host: string;
  readonly metricsHost: string;
  readonly healthHost: string;
  readonly healthPort: number;
  readonly tls: TlsFiles | null;
  readonly bus: BusSettings | null;
}

function commonProblems(
  config: CommonConfig & Partial<CoordinatorConfig | WorkerConfig>,
  container: Container,
  workload: Workload,
  objects: readonly KubeObject[],
  hosts: Hosts,
): string[] {
  const problems = healthProblems(config, container);
  for (const name of ['host', 'metricsHost', 'healthHost'] as const)
    if (config[name] !== '0.0.0.0') problems.push(`${name} ${config[name]}: not reached from outside of the pod`);
  const { tls, bus } = config;
  if (tls === null || bus === null || bus.tls === null) return [...problems, 'no TLS'];
  const files = mountedFiles(container, workload, objects);
  const { ca, certificate, key } = bus.tls;
  for (const file of [tls.ca, tls.certificate, tls.key, ca, certificate, key, bus.credentials])
    if (file !== null && !files.includes(file)) problems.push(`${file}: no such file is mounted`);
  const isOurs = objects.some(({ kind, metadata }) => kind === 'StatefulSet' && metadata.name === 'nats');
  for (const server of bus.servers) {
    const { protocol, hostname, port } = new URL(server);
    if (protocol !== 'tls:') problems.push(`--nats ${server}: without TLS`);
    if (!isOurs) continue;
    const [name] = hostname.split('.');
    const service = objects.find(({ kind, metadata }) => kind === 'Service' && metadata.name === name);
    if (!service?.spec?.ports?.some((candidate) => candidate.port === Number(port)))
      problems.push(`--nats ${server}: no Service has that port`);
    if (!hosts.nats.includes(hostname)) problems.push(`--nats ${server}: not in the certificate of NATS`);
  }
  return problems;
}

const PROBES = { startupProbe: '', readinessProbe: 'ready', livenessProbe: '' } as const;

function healthProblems({ healthPort }: CommonConfig, container: Container): string[] {
  const problems = portProblems(container, 'health', healthPort, 1);
  for (const [name, service] of Object.entries(PROBES) as [keyof typeof PROBES, string][]) {
    const probe = container[name];
    if (probe?.grpc?.port !== healthPort)
      problems.push(`${name}: port ${probe?.grpc?.port}, expected --health-port ${healthPort}`);
    else if ((probe.grpc.service ?? '') !== service) problems.push(`${name}: asks for "${probe.grpc.service}"`);
  }
  return problems;
}

/** Several workers take ports one after the other. */
function portProblems({ ports = [] }: Container, name: string, first: number, count: number): string[] {
  const expected = Array.from({ length: count }, (_, index) => first + index);
  const got = ports.filter((port) => port.name === name || port.name.startsWith(`${name}-`));
  const numbers = got.map(({ containerPort }) => containerPort).sort((a, b) => a - b);
  return numbers.join() === expected.join()
    ? []
    : [`ports ${name}: got ${numbers}, the process listens on ${expected}`];
}

function cacheProblems(folder: string, limitBytes: number, { volumeMounts = [] }: Container, pod: PodSpec): string[] {
  const mount = volumeMounts.find(({ mountPath }) => mountPath === folder);
  const volume = pod.volumes?.find(({ name }) => name === mount?.name);
  if (volume?.emptyDir?.sizeLimit === undefined || mount?.readOnly)
    return [`${folder}: not a folder that can be written`];
  const size = quantity(volume.emptyDir.sizeLimit);
  return limitBytes < size ? [] : [`${folder}: limit of ${limitBytes} bytes on a volume of ${size}`];
}

function graceProblems({ terminationGracePeriodSeconds: grace = 30 }: PodSpec, needed: number): string[] {
  return grace > needed ? [] : [`grace period of ${grace} s: it may take ${needed} s to end`];
}
