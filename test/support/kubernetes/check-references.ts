// What objects name is there: Secrets and their keys, ConfigMaps, ports, selectors, targets of autoscalers, classes.
import {
  type Container,
  type KubeObject,
  type LabelSelector,
  type ServicePort,
  selects,
  type Workload,
  workloadsOf,
} from './objects.ts';

/** Secrets that a user makes, where an overlay says so; all others come of a Certificate or of the script. */
const USERS_SECRETS = /^existing-nats-(coordinator|worker)$/;
const CERTIFICATE_KEYS = ['ca.crt', 'tls.crt', 'tls.key'];
const SECRET_KEYS = /^existing-nats-/;

/** @param scripted Secrets that deploy/kubernetes/make-certificates.mjs makes. @returns what is wrong, a line each. */
export function checkReferences(objects: readonly KubeObject[], scripted: readonly string[]): string[] {
  const workloads = workloadsOf(objects);
  return [
    ...objects.flatMap((object) => duplicateProblems(object, objects)),
    ...workloads.flatMap((workload) =>
      volumeProblems(workload, objects, scripted).map((problem) => `${workload.name}: ${problem}`),
    ),
    ...workloads.flatMap((workload) =>
      workloadProblems(workload, objects).map((problem) => `${workload.name}: ${problem}`),
    ),
    ...objects.flatMap((object) =>
      objectProblems(object, objects, workloads).map((problem) => `${object.kind} ${object.metadata.name}: ${problem}`),
    ),
  ];
}

function duplicateProblems(object: KubeObject, objects: readonly KubeObject[]): string[] {
  const isSame = ({ kind, apiVersion, metadata }: KubeObject) =>
    kind === object.kind && apiVersion === object.apiVersion && metadata.name === object.metadata.name;
  const label = `${object.kind} ${object.metadata.name}`;
  const problems = objects.filter(isSame).length > 1 ? [`${label}: twice`] : [];
  const isOfCluster = ['Namespace', 'PriorityClass'].includes(object.kind);
  if (object.metadata.namespace !== (isOfCluster ? undefined : 'espalier')) problems.push(`${label}: wrong namespace`);
  if (object.metadata.labels?.['app.kubernetes.io/name'] !== 'espalier') problems.push(`${label}: no common labels`);
  return problems;
}

function has(objects: readonly KubeObject[], kind: string, name: string | undefined): boolean {
  return objects.some((object) => object.kind === kind && object.metadata.name === name);
}

/** Files that a container sees, by their paths, of Secrets and ConfigMaps. */
export function mountedFiles(container: Container, { pod }: Workload, objects: readonly KubeObject[]): string[] {
  return (container.volumeMounts ?? []).flatMap(({ name, mountPath }) => {
    const volume = pod.volumes?.find((candidate) => candidate.name === name);
    const secret = volume?.secret?.secretName;
    const keys =
      secret !== undefined
        ? SECRET_KEYS.test(secret)
          ? ['ca.crt', 'nats.creds']
          : CERTIFICATE_KEYS
        : Object.keys(objects.find((object) => isConfigMap(object, volume?.configMap?.name))?.data ?? {});
    return keys.map((key) => `${mountPath}/${key}`);
  });
}

export function isConfigMap({ kind, metadata }: KubeObject, name: string | undefined): boolean {
  return kind === 'ConfigMap' && metadata.name === name;
}

function volumeProblems(
  { pod, object, containers }: Workload,
  objects: readonly KubeObject[],
  scripted: readonly string[],
) {
  const problems: string[] = [];
  const isMadeByCertManager = objects.some(({ kind }) => kind === 'Certificate');
  const made = isMadeByCertManager
    ? objects.flatMap(({ kind, spec }) => (kind === 'Certificate' ? [spec?.secretName] : []))
    : scripted;
  const claims = (object.spec?.volumeClaimTemplates ?? []).map(({ metadata }) => metadata.name);
  for (const { name, secret, configMap, persistentVolumeClaim } of pod.volumes ?? []) {
    if (secret !== undefined && !made.includes(secret.secretName) && !USERS_SECRETS.test(secret.secretName))
      problems.push(`volume ${name}: nobody makes the Secret ${secret.secretName}`);
    if (configMap !== undefined && !has(objects, 'ConfigMap', configMap.name))
      problems.push(`volume ${name}: no ConfigMap ${configMap.name}`);
    if (persistentVolumeClaim && !has(objects, 'PersistentVolumeClaim', persistentVolumeClaim.claimName))
      problems.push(`volume ${name}: no PersistentVolumeClaim ${persistentVolumeClaim.claimName}`);
    claims.push(name);
  }
  for (const container of containers) {
    for (const { name } of container.volumeMounts ?? [])
      if (!claims.includes(name)) problems.push(`container ${container.name}: no volume ${name}`);
    for (const { configMapRef } of container.envFrom ?? [])
      if (!has(objects, 'ConfigMap', configMapRef?.name))
        problems.push(`container ${container.name}: no ConfigMap ${configMapRef?.name}`);
  }
  return problems;
}

function workloadProblems({ pod, labels, object }: Workload, objects: readonly KubeObject[]): string[] {
  const problems: string[] = [];
  const { selector, serviceName } = object.spec ?? {};
  if (!selects(selector as LabelSelector, labels)) problems.push('does not select its own pods');
  if (!has(objects, 'PriorityClass', pod.priorityClassName)) problems.push(`no PriorityClass ${pod.priorityClassName}`);
  if (serviceName !== undefined && !has(objects, 'Service', serviceName)) problems.push(`no Service ${serviceName}`);
  for (const { topologyKey, labelSelector } of pod.topologySpreadConstraints ?? [])
    if (!selects(labelSelector, labels)) problems.push(`its spread over ${topologyKey} does not count its own pods`);
  return problems;
}

function objectProblems(object: KubeObject, objects: readonly KubeObject[], workloads: readonly Workload[]): string[] {
  const { spec = {}, kind } = object;
  switch (kind) {
    case 'Service':
      return serviceProblems(spec.selector as Record<string, string>, spec.ports ?? [], workloads);
    case 'PodDisruptionBudget':
      return budgetProblems(object, workloads);
    case 'ServiceMonitor':
      return monitorProblems(object, objects, workloads);
    case 'ScaledObject':
      return scaledProblems(object, objects);
    case 'Certificate':
    case 'Issuer':
      return issuerProblems(object, objects);
    default:
      return [];
  }
}

function selectedBy(selector: LabelSelector | undefined, workloads: readonly Workload[]): readonly Workload[] {
  return workloads.filter(({ labels }) => selects(selector, labels));
}

function serviceProblems(
  matchLabels: Record<string, string>,
  ports: readonly ServicePort[],
  workloads: readonly Workload[],
) {
  const selected = selectedBy({ matchLabels }, workloads);
  if (selected.length !== 1) return [`selects the pods of ${selected.length} workloads, expected one`];
  return ports.flatMap((port) =>
    containerPort(port, selected[0]) === null ? [`port ${port.name}: no container has ${port.targetPort}`] : [],
  );
}

/** The number of the port that a Service's port leads to. */
export function containerPort({ port, targetPort = port }: ServicePort, { containers }: Workload): number | null {
  const ports = containers.flatMap((container) => container.ports ?? []);
  const found = ports.find((candidate) => candidate.name === targetPort || candidate.containerPort === targetPort);
  return found?.containerPort ?? null;
}

function budgetProblems({ spec = {} }: KubeObject, workloads: readonly Workload[]): string[] {
  const selected = selectedBy(spec.selector, workloads);
  if (selected.length !== 1) return [`selects the pods of ${selected.length} workloads, expected one`];
  const replicas = selected[0].object.spec?.replicas;
  if (typeof spec.minAvailable === 'number' && replicas !== undefined && spec.minAvailable >= replicas)
    return [`keeps ${spec.minAvailable} of ${replicas} pods: no node could be drained`];
  return spec.minAvailable === undefined && spec.maxUnavailable === undefined ? ['says nothing'] : [];
}

function monitorProblems({ spec = {} }: KubeObject, objects: readonly KubeObject[], workloads: readonly Workload[]) {
  const services = objects.filter(
    ({ kind, metadata }) => kind === 'Service' && selects(spec.selector, metadata.labels ?? {}),
  );
  if (services.length !== 1) return [`selects ${services.length} Services, expected one`];
  const { selector, ports = [] } = services[0].spec!;
  const [workload] = selectedBy({ matchLabels: selector as Record<string, string> }, workloads);
  return (spec.endpoints ?? []).flatMap(({ port, path }) => {
    const found = ports.find(({ name }) => name === port);
    if (found === undefined) return [`endpoint ${port}: the Service has no such port`];
    if (workload === undefined || containerPort(found, workload) === null)
      return [`endpoint ${port}: no container has it`];
    return path === '/metrics' ? [] : [`endpoint ${port}: path ${path}, expected /metrics`];
  });
}

function scaledProblems({ spec = {} }: KubeObject, objects: readonly KubeObject[]): string[] {
  const { kind = 'Deployment', name } = spec.scaleTargetRef!;
  const target = objects.find((object) => object.kind === kind && object.metadata.name === name);
  if (target === undefined) return [`no ${kind} ${name}`];
  return target.spec?.replicas === undefined ? [] : [`${kind} ${name} has replicas, which each apply would put back`];
}

function issuerProblems({ spec = {} }: KubeObject, objects: readonly KubeObject[]): string[] {
  const { issuerRef, ca } = spec;
  if (issuerRef !== undefined && !has(objects, issuerRef.kind, issuerRef.name))
    return [`no ${issuerRef.kind} ${issuerRef.name}`];
  const isMade = objects.some(
    ({ kind, spec: other }) => kind === 'Certificate' && other?.secretName === ca?.secretName,
  );
  return ca !== undefined && !isMade ? [`no Certificate makes the Secret ${ca.secretName}`] : [];
}
