// Each check finds what it is for: one change of a sound manifest, one problem.
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { CHECKS } from '../../support/kubernetes/checks.ts';
import { type Container, find, type KubeObject, type PodSpec, readRendered } from '../../support/kubernetes/objects.ts';

type Change = (objects: KubeObject[]) => void;

const pod = (objects: KubeObject[], kind: string, name: string): PodSpec =>
  find(objects, kind, name).spec!.template!.spec;
const worker = (objects: KubeObject[]) => pod(objects, 'Deployment', 'worker');
const coordinator = (objects: KubeObject[]) => pod(objects, 'Deployment', 'coordinator');
const nats = (objects: KubeObject[]) => pod(objects, 'StatefulSet', 'nats');
const settings = (objects: KubeObject[], name: string) =>
  objects.find(({ kind, metadata }) => kind === 'ConfigMap' && metadata.name.startsWith(`${name}-`))!.data!;
const policy = (objects: KubeObject[], name: string) => find(objects, 'NetworkPolicy', name).spec!;
const remove = (objects: KubeObject[], kind: string, name: string) => {
  objects.splice(objects.indexOf(find(objects, kind, name)), 1);
};
const trigger = (name: string, values: Readonly<Record<string, string>>) => (objects: KubeObject[]) => {
  const { triggers = [] } = find(objects, 'ScaledObject', 'worker').spec!;
  Object.assign(triggers.find((candidate) => candidate.name === name)!.metadata, values);
};
const inWorker = (change: (container: Container, spec: PodSpec) => void) => (objects: KubeObject[]) => {
  const spec = worker(objects);
  change(spec.containers[0], spec);
};
const set = (name: string, values: Readonly<Record<string, string>>) => (objects: KubeObject[]) => {
  Object.assign(settings(objects, name), values);
};

const MUTATIONS: Readonly<Record<keyof typeof CHECKS, readonly (readonly [string, Change, RegExp])[]>> = {
  pods: [
    ['root', inWorker((_, spec) => (spec.securityContext!.runAsUser = 0)), /runAsUser: got 0, expected 65532/],
    ['root in a container', inWorker((c) => (c.securityContext!.runAsUser = 0)), /worker: runs as root/],
    ['root not excluded', inWorker((_, spec) => delete spec.securityContext!.runAsNonRoot), /runAsNonRoot is not true/],
    ['no context', inWorker((c) => delete c.securityContext), /allowPrivilegeEscalation is not false/],
    ['privileged', inWorker((c) => (c.securityContext!.privileged = true)), /is privileged/],
    ['a writable root', inWorker((c) => delete c.securityContext!.readOnlyRootFilesystem), /readOnlyRootFilesystem/],
    ['a capability', inWorker((c) => (c.securityContext!.capabilities!.add = ['SYS_PTRACE'])), /keeps or adds capab/],
    ['no seccomp', inWorker((_, spec) => delete spec.securityContext!.seccompProfile), /seccompProfile is not/],
    [
      'seccomp off in a container',
      inWorker((c) => (c.securityContext!.seccompProfile = { type: 'Unconfined' })),
      /container worker: seccompProfile/,
    ],
    ["the node's network", inWorker((_, spec) => (spec.hostNetwork = true)), /hostNetwork is set/],
    [
      'a folder of the node',
      inWorker((_, spec) => spec.volumes!.push({ name: 'host', hostPath: { path: '/' } })),
      /volume host: a folder of the node/,
    ],
    ['no limit', inWorker((c) => delete c.resources!.limits!.memory), /no request or limit of memory/],
    [
      'no request',
      (objects) => delete nats(objects).containers[1].resources!.requests!.cpu,
      /reload: no request or lim/,
    ],
    ['a request above the limit', inWorker((c) => (c.resources!.requests!.cpu = '64')), /requests more cpu than its/],
    ['GPUs requested only', inWorker((c) => delete c.resources!.limits!['nvidia.com/gpu']), /nvidia.com\/gpu: request/],
    ['an image without a version', inWorker((c) => (c.image = 'ghcr.io/espalier/worker')), /no version/],
    ['the latest image', inWorker((c) => (c.image = 'ghcr.io/espalier/worker:latest')), /no version/],
    ['an old image', inWorker((c) => (c.image = 'ghcr.io/espalier/worker:0.0.9-gpu')), /expected version/],
    ['half a version', (objects) => (nats(objects).containers[0].image = 'nats:2'), /not a whole version/],
    ['a token', inWorker((_, spec) => delete spec.automountServiceAccountToken), /automountServiceAccountToken/],
    [
      'a token of the account',
      (objects) => delete find(objects, 'ServiceAccount', 'worker').automountServiceAccountToken,
      /its service account mounts a token/,
    ],
    ['an account of others', inWorker((_, spec) => (spec.serviceAccountName = 'default')), /account default/],
    [
      'rights',
      (objects) => objects.push({ apiVersion: 'v1', kind: 'RoleBinding', metadata: { name: 'all' } }),
      /RoleBinding all: no rights are needed/,
    ],
    ['links to services', inWorker((_, spec) => delete spec.enableServiceLinks), /enableServiceLinks/],
    ['no class', inWorker((_, spec) => delete spec.priorityClassName), /no priorityClassName/],
    ['no spread', inWorker((_, spec) => delete spec.topologySpreadConstraints), /no topologySpreadConstraints/],
    [
      'a folder without a bound',
      inWorker((_, spec) => delete spec.volumes!.find(({ name }) => name === 'tmp')!.emptyDir!.sizeLimit),
      /volume tmp: no sizeLimit/,
    ],
    [
      'folders beyond the limit',
      inWorker((_, spec) => (spec.volumes!.find(({ name }) => name === 'tmp')!.emptyDir!.sizeLimit = '80Gi')),
      /it would be evicted/,
    ],
    [
      'keys for all',
      inWorker((_, spec) => (spec.volumes!.find(({ name }) => name === 'tls')!.secret!.defaultMode = 0o644)),
      /volume tls: mode 644, expected 440/,
    ],
    [
      'a certificate that is never renewed',
      inWorker((c) => (c.volumeMounts!.find(({ name }) => name === 'tls')!.subPath = 'tls.crt')),
      /a subPath, which is never renewed/,
    ],
  ],
  references: [
    ['no ConfigMap', inWorker((c) => (c.envFrom![0].configMapRef!.name = 'worker')), /no ConfigMap worker$/],
    [
      'no Secret',
      inWorker((_, spec) => (spec.volumes!.find(({ name }) => name === 'tls')!.secret!.secretName = 'worker')),
      /nobody makes the Secret worker$/,
    ],
    ['no Certificate', (objects) => remove(objects, 'Certificate', 'worker'), /nobody makes the Secret worker-tls/],
    [
      'no volume',
      inWorker((_, spec) => (spec.volumes = spec.volumes!.filter(({ name }) => name !== 'tmp'))),
      /no volume tmp/,
    ],
    ['no class', (objects) => remove(objects, 'PriorityClass', 'espalier-worker'), /no PriorityClass espalier-worker/],
    ['no headless Service', (objects) => remove(objects, 'Service', 'nats-headless'), /no Service nats-headless/],
    [
      'a Service for nobody',
      (objects) => {
        (find(objects, 'Service', 'coordinator').spec!.selector as Record<string, string>)['app.kubernetes.io/name'] =
          'x';
      },
      /Service coordinator: selects the pods of 0 workloads/,
    ],
    [
      'a Service to no port',
      (objects) => (find(objects, 'Service', 'coordinator').spec!.ports![1].targetPort = 'prometheus'),
      /port metrics: no container has prometheus/,
    ],
    [
      'a budget for nobody',
      (objects) => (find(objects, 'PodDisruptionBudget', 'worker').spec!.selector!.matchLabels = { app: 'worker' }),
      /PodDisruptionBudget worker: selects the pods of 0 workloads/,
    ],
    [
      'a budget that lets no node be drained',
      (objects) => (find(objects, 'PodDisruptionBudget', 'coordinator').spec!.minAvailable = 2),
      /no node could be drained/,
    ],
    [
      'a monitor of no port',
      (objects) => (find(objects, 'ServiceMonitor', 'worker').spec!.endpoints![0].port = 'http'),
      /endpoint http: the Service has no such port/,
    ],
    [
      'a monitor of no Service',
      (objects) => (find(objects, 'ServiceMonitor', 'worker').spec!.selector!.matchLabels = { app: 'worker' }),
      /selects 0 Services/,
    ],
    [
      'a monitor of another page',
      (objects) => (find(objects, 'ServiceMonitor', 'worker').spec!.endpoints![0].path = '/healthz'),
      /expected \/metrics/,
    ],
    [
      'an autoscaler of nothing',
      (objects) => (find(objects, 'ScaledObject', 'worker').spec!.scaleTargetRef!.name = 'workers'),
      /no Deployment workers/,
    ],
    [
      'an autoscaler against an apply',
      (objects) => (find(objects, 'Deployment', 'worker').spec!.replicas = 2),
      /which each apply would put back/,
    ],
    ['no issuer', (objects) => remove(objects, 'Issuer', 'authority'), /Certificate coordinator: no Issuer authority/],
    ['no authority', (objects) => remove(objects, 'Certificate', 'authority'), /makes the Secret authority-tls/],
    [
      'a spread over others',
      inWorker((_, spec) => (spec.topologySpreadConstraints![0].labelSelector = { matchLabels: { app: 'x' } })),
      /does not count its own pods/,
    ],
    [
      'pods of others',
      (objects) => (find(objects, 'Deployment', 'worker').spec!.selector!.matchLabels = { app: 'worker' }),
      /does not select its own pods/,
    ],
    ['the same twice', (objects) => objects.push(structuredClone(find(objects, 'Service', 'nats'))), /nats: twice/],
    [
      'another namespace',
      (objects) => (find(objects, 'ScaledObject', 'worker').metadata.namespace = 'default'),
      /ScaledObject worker: wrong namespace/,
    ],
  ],
  settings: [
    ['an unknown setting', set('worker', { ESPALIER_BLOB_LIMIT: '20' }), /ESPALIER_BLOB_LIMIT: unknown/],
    ['a wrong value', set('worker', { ESPALIER_QUEUE: 'four' }), /ESPALIER_QUEUE: got "four"/],
    ['a number that is none', set('coordinator', { ESPALIER_LEASE_SECONDS: '0' }), /ESPALIER_LEASE_SECONDS: got "0"/],
    [
      'another port',
      set('coordinator', { ESPALIER_PORT: '7071' }),
      /ports grpc: got 7070, the process listens on 7071/,
    ],
    ['no metrics', set('worker', { ESPALIER_METRICS_PORT: '0' }), /ports metrics/],
    ['loopback only', set('worker', { ESPALIER_METRICS_HOST: '127.0.0.1' }), /metricsHost 127.0.0.1/],
    ['health on loopback', set('worker', { ESPALIER_HEALTH_HOST: '127.0.0.1' }), /healthHost 127.0.0.1/],
    ['no health', set('coordinator', { ESPALIER_HEALTH_PORT: '0' }), /startupProbe: port 9480/],
    ['a probe of TLS', inWorker((c) => (c.livenessProbe!.grpc!.port = 7077)), /livenessProbe: port 7077/],
    ['no probe', inWorker((c) => delete c.startupProbe), /startupProbe: port undefined/],
    [
      'liveness that needs NATS',
      inWorker((c) => (c.livenessProbe!.grpc!.service = 'ready')),
      /livenessProbe: asks for "ready"/,
    ],
    ['readiness of nothing', inWorker((c) => delete c.readinessProbe!.grpc!.service), /readinessProbe: asks for/],
    ['two workers on one port', set('worker', { ESPALIER_WORKERS: '2' }), /ports grpc: got 7077, the process listens/],
    ['two workers on one GPU', set('worker', { ESPALIER_WORKERS: '2' }), /--workers 2 with 1 GPUs/],
    ['a GPU for nothing', set('worker', { ESPALIER_DEVICE: 'cpu' }), /--device cpu with 1 GPUs/],
    ['no toleration', inWorker((_, spec) => delete spec.tolerations), /no toleration/],
    ['any node', inWorker((_, spec) => delete spec.affinity), /no affinity to GPU nodes/],
    ['a short grace', inWorker((_, spec) => (spec.terminationGracePeriodSeconds = 900)), /grace period of 900 s/],
    [
      'the usual grace',
      inWorker((_, spec) => delete spec.terminationGracePeriodSeconds),
      /grace period of 30 s: it may take 905 s/,
    ],
    ['a short drain', set('worker', { ESPALIER_DRAIN_SECONDS: '60' }), /--drain-seconds: a task may take 900 s/],
    [
      'a coordinator that is cut off',
      (objects) => (coordinator(objects).terminationGracePeriodSeconds = 10),
      /grace period of 10 s: it may take 18 s/,
    ],
    ['a cache larger than its volume', set('worker', { ESPALIER_BLOB_LIMIT_GB: '50' }), /limit of 50000000000 bytes/],
    ['a cache on the root', set('coordinator', { ESPALIER_CACHE_DIR: '/cache' }), /\/cache: not a folder that can/],
    ['no such certificate', set('worker', { ESPALIER_TLS_CA: '/etc/ca.pem' }), /ca.pem: no such file is mounted/],
    [
      'no such key of NATS',
      set('worker', { ESPALIER_NATS_TLS_KEY: '/etc/espalier/tls/nats.key' }),
      /nats.key: no such file is mounted/,
    ],
    ['NATS without TLS', set('worker', { ESPALIER_NATS: 'nats://nats.espalier.svc:4222' }), /without TLS/],
    ['another NATS', set('worker', { ESPALIER_NATS: 'tls://nats.other.svc:4222' }), /not in the certificate of NATS/],
    ['another port of NATS', set('worker', { ESPALIER_NATS: 'tls://nats.espalier.svc:4223' }), /no Service has that/],
    [
      'another name of workers',
      set('coordinator', { ESPALIER_WORKER_TLS_NAME: 'workers.espalier.svc' }),
      /--worker-tls-name workers.espalier.svc: not in/,
    ],
    [
      'an address that is not the pod',
      inWorker((c) => {
        c.env![0] = { name: 'ESPALIER_ADVERTISE', value: 'worker' };
      }),
      /--advertise is not the address of the pod/,
    ],
    [
      'a volume that is not there',
      set('coordinator', { ESPALIER_VOLUME: 'models=/models' }),
      /--volume models: nothing is mounted/,
    ],
  ],
  network: [
    [
      'no default',
      (objects) => remove(objects, 'NetworkPolicy', 'default-deny'),
      /the internet → a stranger TCP 443: is let/,
    ],
    [
      'names asked for anywhere',
      (objects) => delete policy(objects, 'dns').egress![0].to,
      /worker → the internet UDP 53: is let through/,
    ],
    [
      'more than names',
      (objects) => delete policy(objects, 'dns').egress![0].ports,
      /nats → DNS TCP 443: is let through/,
    ],
    ['no names', (objects) => remove(objects, 'NetworkPolicy', 'dns'), /worker → DNS UDP 53: is refused/],
    [
      'no way out to NATS',
      (objects) => policy(objects, 'worker').egress!.splice(0),
      /worker → nats TCP 4222: is refused/,
    ],
    [
      'no way in to NATS',
      (objects) => policy(objects, 'nats').ingress!.splice(0),
      /coordinator → nats TCP 4222: is ref/,
    ],
    [
      'no way to workers',
      (objects) => policy(objects, 'worker').ingress!.splice(0),
      /coordinator → worker TCP 7077: is refused/,
    ],
    [
      'workers that talk to each other',
      (objects) => {
        const { egress, ingress } = policy(objects, 'worker');
        egress!.push({ to: [{ podSelector: {} }] });
        ingress!.push({ from: [{ podSelector: {} }] });
      },
      /worker → worker TCP 7077: is let through/,
    ],
    [
      'users that reach workers',
      (objects) => {
        policy(objects, 'client').egress!.push({ ports: [{ port: 7077 }] });
        policy(objects, 'worker').ingress![0].from!.push({
          podSelector: { matchLabels: { 'espalier-client': 'true' } },
        });
      },
      /a user → worker TCP 7077: is let through/,
    ],
    [
      'any namespace',
      (objects) => delete policy(objects, 'coordinator').ingress![0].from![1].namespaceSelector!.matchLabels,
      /a stranger who says that it is a user → coordinator TCP 7070: is let through/,
    ],
    [
      'the whole internet',
      (objects) => policy(objects, 'coordinator').egress!.push({ to: [{ ipBlock: { cidr: '0.0.0.0/0' } }] }),
      /coordinator → the internet TCP 443: is let through/,
    ],
    [
      'no Prometheus',
      (objects) => remove(objects, 'NetworkPolicy', 'prometheus-to-worker'),
      /Prometheus → worker TCP 9471: is refused/,
    ],
    [
      'KEDA without the queue',
      (objects) => remove(objects, 'NetworkPolicy', 'keda-to-nats'),
      /KEDA → nats TCP 8222: is refused/,
    ],
    [
      'all of the monitoring namespace',
      (objects) => delete policy(objects, 'prometheus-to-worker').ingress![0].from![0].podSelector,
      /Grafana → worker TCP 9471: is let through/,
    ],
    [
      'a health port for others',
      (objects) => policy(objects, 'coordinator').ingress![0].ports!.push({ protocol: 'TCP', port: 9480 }),
      /a user elsewhere → coordinator TCP 9480: is let through/,
    ],
    [
      'KEDA at another port',
      (objects) => {
        const [trigger] = find(objects, 'ScaledObject', 'worker').spec!.triggers!;
        trigger.metadata.natsServerMonitoringEndpoint = 'nats-headless.espalier.svc.cluster.local:8223';
      },
      /KEDA → nats TCP 8223: nobody serves it/,
    ],
  ],
  scaling: [
    ['another stream', trigger('jobs', { stream: 'ESPALIER_EVENTS' }), /stream: got ESPALIER_EVENTS, expected ESP/],
    ['another consumer', trigger('jobs', { consumer: 'workers' }), /consumer: got workers, expected coordinators/],
    ['another port', trigger('jobs', { natsServerMonitoringEndpoint: 'nats:4222' }), /port of NATS: got 4222/],
    ['no such metric', trigger('tasks', { valueLocation: 'espalier_pending' }), /espalier_pending: no such metric/],
    [
      'a metric of workers',
      trigger('tasks', { valueLocation: 'espalier_worker_tasks' }),
      /worker_tasks: no such metric/,
    ],
    ['another page', trigger('tasks', { url: 'http://coordinator:7070/metrics' }), /url: got/],
    ['too many jobs for one worker', trigger('jobs', { lagThreshold: '16' }), /lagThreshold: got 16, expected 4/],
    ['two workers for the tasks of one', set('worker', { ESPALIER_WORKERS: '2' }), /targetValue: got 8, expected 16/],
    [
      'no first worker',
      (objects) => find(objects, 'ScaledObject', 'worker').spec!.triggers!.splice(0, 1),
      /no trigger that can start the first worker/,
    ],
    [
      'a worker for ever',
      (objects) => (find(objects, 'ScaledObject', 'worker').spec!.minReplicaCount = 1),
      /from 1 to 8/,
    ],
  ],
  certificates: [
    [
      'the role of others',
      (objects) => (find(objects, 'Certificate', 'worker').spec!.uris = ['espalier:role:coordinator']),
      /Certificate worker: role/,
    ],
    [
      'a name of others',
      (objects) => find(objects, 'Certificate', 'worker').spec!.dnsNames!.push('nats.espalier.svc'),
      /Certificate worker: names/,
    ],
    ['no readers', (objects) => remove(objects, 'Certificate', 'read'), /Certificate read: missing/],
    [
      'another Secret',
      (objects) => (find(objects, 'Certificate', 'submit').spec!.secretName = 'submit'),
      /Certificate submit: Secret: got submit/,
    ],
  ],
};

for (const [check, mutations] of Object.entries(MUTATIONS))
  describe(`the check of ${check} finds`, () => {
    for (const [name, change, expected] of mutations)
      it(name, () => {
        const objects = readRendered('gpu');
        change(objects);
        const problems = CHECKS[check as keyof typeof CHECKS](objects);
        assert.ok(
          problems.some((problem) => expected.test(problem)),
          `${expected} in ${JSON.stringify(problems)}`,
        );
      });
  });
