// Of every pod: Pod Security "restricted" and more, requests and limits, pinned images, no rights.
import { readFileSync } from 'node:fs';
import path from 'node:path';
import { projectRoot } from '../../../shared/project-root.ts';
import { type Container, type KubeObject, type PodSpec, quantity, type Workload, workloadsOf } from './objects.ts';

const { version } = JSON.parse(readFileSync(path.join(projectRoot(), 'package.json'), 'utf8')) as { version: string };

/** Tags of our images by repository. */
const OUR_TAGS: Readonly<Record<string, readonly string[]>> = {
  'ghcr.io/espalier/coordinator': [version],
  'ghcr.io/espalier/worker': [version, `${version}-gpu`],
};
const RESOURCES = ['cpu', 'memory', 'ephemeral-storage'];

/** @returns what is wrong, a line each. */
export function checkPods(objects: readonly KubeObject[]): string[] {
  return workloadsOf(objects).flatMap((workload) => [
    ...podProblems(workload.pod).map((problem) => `${workload.name}: ${problem}`),
    ...accountProblems(workload, objects).map((problem) => `${workload.name}: ${problem}`),
    ...workload.containers.flatMap((container) =>
      [...securityProblems(container, workload.pod), ...resourceProblems(container), ...imageProblems(container)].map(
        (problem) => `${workload.name}: container ${container.name}: ${problem}`,
      ),
    ),
  ]);
}

function podProblems(pod: PodSpec): string[] {
  const problems: string[] = [];
  const { securityContext = {}, volumes = [] } = pod;
  for (const setting of ['hostNetwork', 'hostPID', 'hostIPC'] as const)
    if (pod[setting]) problems.push(`${setting} is set`);
  if (securityContext.runAsNonRoot !== true) problems.push('runAsNonRoot is not true');
  for (const setting of ['runAsUser', 'runAsGroup', 'fsGroup'] as const)
    if (securityContext[setting] !== 65532)
      problems.push(`${setting}: got ${securityContext[setting]}, expected 65532, the user of the images`);
  if (securityContext.seccompProfile?.type !== 'RuntimeDefault') problems.push('seccompProfile is not RuntimeDefault');
  if (pod.enableServiceLinks !== false) problems.push('enableServiceLinks is not false');
  if (!pod.priorityClassName) problems.push('no priorityClassName');
  if ((pod.topologySpreadConstraints ?? []).length === 0 && !pod.containers.some(({ name }) => name === 'nats'))
    problems.push('no topologySpreadConstraints');
  for (const volume of volumes) {
    if (volume.hostPath !== undefined) problems.push(`volume ${volume.name}: a folder of the node`);
    if (volume.emptyDir !== undefined && volume.emptyDir.sizeLimit === undefined)
      problems.push(`volume ${volume.name}: no sizeLimit`);
    if (volume.secret !== undefined && volume.secret.defaultMode !== 0o440)
      problems.push(`volume ${volume.name}: mode ${volume.secret.defaultMode?.toString(8)}, expected 440`);
  }
  const limits = pod.containers.map(({ resources }) => quantity(resources?.limits?.['ephemeral-storage'] ?? 0));
  const disk = limits.reduce((sum, bytes) => sum + bytes, 0);
  const folders = volumes.reduce((sum, { emptyDir }) => sum + quantity(emptyDir?.sizeLimit ?? 0), 0);
  if (folders > disk)
    problems.push(`its volumes may take ${folders} bytes, its containers ${disk}: it would be evicted`);
  return problems;
}

function accountProblems({ pod, object }: Workload, objects: readonly KubeObject[]): string[] {
  const problems: string[] = [];
  if (pod.automountServiceAccountToken !== false) problems.push('automountServiceAccountToken is not false');
  const account = objects.find(
    ({ kind, metadata }) => kind === 'ServiceAccount' && metadata.name === pod.serviceAccountName,
  );
  if (pod.serviceAccountName !== object.metadata.name)
    problems.push(`service account ${pod.serviceAccountName}, expected one of its own`);
  if (account === undefined) problems.push(`service account ${pod.serviceAccountName}: missing`);
  else if (account.automountServiceAccountToken !== false) problems.push('its service account mounts a token');
  for (const { kind, metadata } of objects)
    if (/^(Cluster)?Role(Binding)?$/.test(kind)) problems.push(`${kind} ${metadata.name}: no rights are needed`);
  return problems;
}

function securityProblems({ securityContext = {}, volumeMounts = [] }: Container, pod: PodSpec): string[] {
  const problems: string[] = [];
  const { runAsUser, runAsNonRoot, capabilities = {} } = securityContext;
  if (runAsUser === 0 || runAsNonRoot === false) problems.push('runs as root');
  if (securityContext.privileged) problems.push('is privileged');
  if (securityContext.allowPrivilegeEscalation !== false) problems.push('allowPrivilegeEscalation is not false');
  if (securityContext.readOnlyRootFilesystem !== true) problems.push('readOnlyRootFilesystem is not true');
  if (capabilities.drop?.join() !== 'ALL' || (capabilities.add ?? []).length > 0)
    problems.push('keeps or adds capabilities');
  if (securityContext.seccompProfile !== undefined && securityContext.seccompProfile.type !== 'RuntimeDefault')
    problems.push('seccompProfile is not RuntimeDefault');
  for (const { name, mountPath, readOnly, subPath } of volumeMounts) {
    const volume = pod.volumes?.find((candidate) => candidate.name === name);
    const isRead = volume?.secret !== undefined || volume?.configMap !== undefined;
    if (isRead && readOnly !== true) problems.push(`${mountPath}: a Secret or ConfigMap that is not read-only`);
    if (isRead && subPath !== undefined) problems.push(`${mountPath}: a subPath, which is never renewed`);
  }
  return problems;
}

function resourceProblems({ resources: { requests = {}, limits = {} } = {} }: Container): string[] {
  const problems: string[] = [];
  for (const name of RESOURCES) {
    if (requests[name] === undefined || limits[name] === undefined) problems.push(`no request or limit of ${name}`);
    else if (quantity(requests[name]) > quantity(limits[name])) problems.push(`requests more ${name} than its limit`);
  }
  const gpu = 'nvidia.com/gpu';
  if (requests[gpu] !== limits[gpu]) problems.push(`${gpu}: request and limit must be equal`);
  return problems;
}

function imageProblems({ image, name }: Container): string[] {
  const [, repository = image, tag] = /^(.+):([^:/]+)$/.exec(image) ?? [];
  if (tag === undefined || tag === 'latest') return [`image ${image}: no version`];
  const ours = OUR_TAGS[repository];
  if (ours !== undefined) return ours.includes(tag) ? [] : [`image ${image}: expected version ${ours.join(' or ')}`];
  if (name === 'coordinator' || name === 'worker') return [`image ${image}: not one of ours`];
  return /^\d+\.\d+\.\d+(-[a-z0-9.]+)?$/.test(tag) ? [] : [`image ${image}: not a whole version`];
}
