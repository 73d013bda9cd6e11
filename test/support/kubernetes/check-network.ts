// Who can talk to whom is exactly who must: each pair of ends and each port is tried in the model.

import { containerPort } from './check-references.ts';
import { connects, type End, INTERNET, NAMESPACE, type Port, pod } from './network-model.ts';
import { type KubeObject, selects, type Workload, workloadsOf } from './objects.ts';

const CLIENT = { 'espalier-client': 'true' };
const DNS = pod('DNS', 'kube-system', { 'k8s-app': 'kube-dns' });
const PROMETHEUS = pod('Prometheus', 'monitoring', { 'app.kubernetes.io/name': 'prometheus' });
const KEDA = pod('KEDA', 'keda', { app: 'keda-operator' });
const USER = pod('a user', NAMESPACE, CLIENT);
const USER_ELSEWHERE = pod('a user elsewhere', 'team', CLIENT, CLIENT);
const OTHER_NATS = pod('the other NATS', 'nats', { 'app.kubernetes.io/name': 'nats' });
const STRANGERS = [
  INTERNET,
  pod('a stranger', NAMESPACE, {}),
  pod('a stranger elsewhere', 'default', {}),
  pod('a stranger who says that it is a user', 'default', CLIENT),
  pod('a stranger beside users', 'team', {}, CLIENT),
  pod('a stranger who says that it is a coordinator', 'default', {
    'app.kubernetes.io/name': 'espalier',
    'app.kubernetes.io/component': 'coordinator',
  }),
  pod('another pod of KEDA', 'keda', { app: 'keda-admission-webhooks' }),
  pod('Grafana', 'monitoring', { 'app.kubernetes.io/name': 'grafana' }),
  pod('another pod of the system', 'kube-system', {}),
];
/** Ports that nobody serves, or that only others do: SSH, DNS, HTTPS, the API server, kubelet. */
const OTHER_PORTS: readonly Port[] = [
  ...[22, 53, 443, 6443, 10250].map((number) => ({ protocol: 'TCP', number })),
  { protocol: 'UDP', number: 53 },
];

interface Connection {
  readonly from: End;
  readonly to: End;
  readonly port: Port;
}

/** @returns what is wrong, a line each. */
export function checkNetwork(objects: readonly KubeObject[]): string[] {
  const ours = workloadsOf(objects).map(endOf);
  const ends = [...ours, DNS, PROMETHEUS, KEDA, USER, USER_ELSEWHERE, OTHER_NATS, ...STRANGERS];
  const wanted = new Set(wantedConnections(objects).map(textOf));
  const problems: string[] = [];
  for (const from of ends)
    for (const to of ends) {
      if (from.namespace !== NAMESPACE && to.namespace !== NAMESPACE) continue;
      for (const port of portsOf(objects, to)) {
        const text = textOf({ from, to, port });
        const isLet = connects(objects, from, to, port);
        if (isLet && !wanted.has(text)) problems.push(`${text}: is let through`);
        if (!isLet && wanted.delete(text)) problems.push(`${text}: is refused`);
        wanted.delete(text);
      }
    }
  return [...problems, ...[...wanted].map((text) => `${text}: nobody serves it`)];
}

const textOf = ({ from, to, port }: Connection) => `${from.name} → ${to.name} ${port.protocol} ${port.number}`;

function endOf(workload: Workload): End {
  return pod(`${workload.object.metadata.name}`, NAMESPACE, workload.labels);
}

function portsOf(objects: readonly KubeObject[], end: End): Port[] {
  const workload = workloadsOf(objects).find(({ object }) => object.metadata.name === end.name);
  const ports = (workload?.containers ?? []).flatMap((container) => container.ports ?? []);
  const own = ports.map(({ containerPort: number, protocol = 'TCP' }) => ({ protocol, number }));
  const named = end === OTHER_NATS ? [{ protocol: 'TCP', number: 4222 }] : [];
  return [...own, ...named, ...OTHER_PORTS];
}

/** By what the manifests say of themselves: settings, monitors, triggers. */
function wantedConnections(objects: readonly KubeObject[]): Connection[] {
  const workloads = workloadsOf(objects);
  const named = (name: string) => workloads.find(({ object }) => object.metadata.name === name);
  const [coordinator, worker, nats] = ['coordinator', 'worker', 'nats'].map(named);
  const to = (from: End, workload: Workload, number: number) => ({
    from,
    to: endOf(workload),
    port: { protocol: 'TCP', number },
  });
  const own = [...workloads.map(endOf), USER, STRANGERS[1]];
  return [
    ...own.flatMap((from) => ['UDP', 'TCP'].map((protocol) => ({ from, to: DNS, port: { protocol, number: 53 } }))),
    ...[coordinator!, worker!].map((workload) =>
      nats === undefined
        ? { from: endOf(workload), to: OTHER_NATS, port: { protocol: 'TCP', number: 4222 } }
        : to(endOf(workload), nats, 4222),
    ),
    ...portNumbers(worker!, /^grpc/).map((number) => to(endOf(coordinator!), worker!, number)),
    ...[USER, USER_ELSEWHERE].map((user) => to(user, coordinator!, 7070)),
    ...scrapes(objects, workloads),
    ...readsOfKeda(objects, workloads),
  ];
}

function portNumbers({ containers }: Workload, name: RegExp): number[] {
  const ports = containers.flatMap((container) => container.ports ?? []);
  return ports.filter((port) => name.test(port.name)).map((port) => port.containerPort);
}

function scrapes(objects: readonly KubeObject[], workloads: readonly Workload[]): Connection[] {
  const monitors = objects.filter(({ kind }) => kind === 'ServiceMonitor');
  return monitors.flatMap(({ spec }) => {
    const workload = workloads.find(({ labels }) => selects(spec?.selector, labels));
    return workload === undefined
      ? []
      : portNumbers(workload, /^metrics/).map((number) => ({
          from: PROMETHEUS,
          to: endOf(workload),
          port: { protocol: 'TCP', number },
        }));
  });
}

/** Triggers name Services of ours by host and port. */
function readsOfKeda(objects: readonly KubeObject[], workloads: readonly Workload[]): Connection[] {
  const triggers = objects.flatMap(({ kind, spec }) => (kind === 'ScaledObject' ? (spec?.triggers ?? []) : []));
  return triggers.flatMap(({ metadata }) => {
    const address = metadata.natsServerMonitoringEndpoint ?? metadata.url ?? '';
    const [, name, port] = /^(?:http:\/\/)?([^.]+)\.espalier\.svc\.cluster\.local:(\d+)/.exec(address) ?? [];
    if (name === undefined) return [];
    const service = objects.find(({ kind, metadata: { name: other } }) => kind === 'Service' && other === name);
    const found = service?.spec?.ports?.find((candidate) => candidate.port === Number(port));
    const selector = { matchLabels: service?.spec?.selector as Record<string, string> };
    const workload = workloads.find(({ labels }) => service !== undefined && selects(selector, labels));
    const number = found && workload ? containerPort(found, workload) : null;
    const to = workload === undefined ? pod(name, NAMESPACE, {}) : endOf(workload);
    return [{ from: KEDA, to, port: { protocol: 'TCP', number: number ?? Number(port) } }];
  });
}
