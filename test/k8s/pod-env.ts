// A container's environment as a kubelet makes it: from ConfigMaps, Secrets, fields of the pod, and plain values that may
// name others as $(NAME).
import type { KubeApi } from './kube-api.ts';
import type { Container, EnvVariable, KubeObject, Pod } from './kube-objects.ts';
import { paths } from './names.ts';

interface Stored extends KubeObject {
  readonly data?: Readonly<Record<string, string>>;
}

/** What a pod is given by its node. */
export interface PodPlace {
  readonly podIp: string;
  readonly hostIp: string;
}

/** @throws when it names a ConfigMap, a Secret or a key that is not there. */
export async function containerEnv(
  api: KubeApi,
  pod: Pod,
  container: Container,
  place: PodPlace,
): Promise<Record<string, string>> {
  const env: Record<string, string> = {};
  for (const { prefix = '', configMapRef, secretRef } of container.envFrom ?? []) {
    const { name, optional } = configMapRef ?? secretRef!;
    const entries = configMapRef ? await configMapText(api, name, optional) : await secretText(api, name, optional);
    for (const [key, value] of Object.entries(entries)) env[`${prefix}${key}`] = value;
  }
  for (const variable of container.env ?? []) {
    const value = await textOf(api, pod, container, variable, place);
    if (value !== null) env[variable.name] = value.replace(/\$\((\w+)\)/g, (text, name: string) => env[name] ?? text);
  }
  return env;
}

/** The entries of a ConfigMap as text. */
export async function configMapText(api: KubeApi, name: string, optional = false): Promise<Record<string, string>> {
  const found = await api.find<Stored>(paths.configMap(name));
  if (found === null && !optional) throw new Error(`configmap "${name}" not found`);
  return { ...found?.data };
}

/** The entries of a Secret, decoded. */
export async function secretText(api: KubeApi, name: string, optional = false): Promise<Record<string, string>> {
  const found = await api.find<Stored>(paths.secret(name));
  if (found === null && !optional) throw new Error(`secret "${name}" not found`);
  const entries = Object.entries(found?.data ?? {});
  return Object.fromEntries(entries.map(([key, value]) => [key, Buffer.from(value, 'base64').toString()]));
}

async function textOf(
  api: KubeApi,
  pod: Pod,
  container: Container,
  { name, value, valueFrom }: EnvVariable,
  place: PodPlace,
): Promise<string | null> {
  if (valueFrom === undefined) return value ?? '';
  const { configMapKeyRef, secretKeyRef, fieldRef, resourceFieldRef } = valueFrom;
  if (fieldRef !== undefined) return fieldOf(pod, fieldRef.fieldPath, place);
  if (resourceFieldRef !== undefined) return resourceOf(container, resourceFieldRef.resource, resourceFieldRef.divisor);
  const ref = configMapKeyRef ?? secretKeyRef!;
  const entries = configMapKeyRef
    ? await configMapText(api, ref.name, ref.optional)
    : await secretText(api, ref.name, ref.optional);
  if (entries[ref.key] === undefined && !ref.optional) throw new Error(`${name}: "${ref.name}" has no key ${ref.key}`);
  return entries[ref.key] ?? null;
}

function fieldOf(pod: Pod, field: string, { podIp, hostIp }: PodPlace): string {
  const { metadata, spec } = pod;
  const keyed = /^metadata\.(labels|annotations)\['(.+)'\]$/.exec(field);
  if (keyed !== null) return metadata[keyed[1] as 'labels' | 'annotations']?.[keyed[2]] ?? '';
  const fields: Record<string, string | undefined> = {
    'metadata.name': metadata.name,
    'metadata.namespace': metadata.namespace,
    'metadata.uid': metadata.uid,
    'spec.nodeName': spec.nodeName,
    'spec.serviceAccountName': spec.serviceAccountName,
    'status.podIP': podIp,
    'status.hostIP': hostIp,
  };
  const found = fields[field];
  if (found === undefined) throw new Error(`the node agent knows no field ${field}`);
  return found;
}

const UNITS: Readonly<Record<string, number>> = {
  ...{ '': 1, m: 1e-3, k: 1e3, M: 1e6, G: 1e9, T: 1e12 },
  ...{ Ki: 2 ** 10, Mi: 2 ** 20, Gi: 2 ** 30, Ti: 2 ** 40 },
};

/** A quantity of a resource, counted in divisors and rounded up. */
function resourceOf({ name, resources }: Container, resource: string, divisor = '1'): string {
  const [kind, ...rest] = resource.split('.');
  const text = resources?.[kind as 'limits' | 'requests']?.[rest.join('.')];
  if (text === undefined) throw new Error(`container ${name} has no ${resource}`);
  return String(Math.ceil(quantity(text) / quantity(divisor === '0' ? '1' : divisor)));
}

function quantity(text: string): number {
  const [, digits, unit] = /^([\d.]+)([a-zA-Z]*)$/.exec(text) ?? [];
  if (digits === undefined || UNITS[unit] === undefined)
    throw new Error(`the node agent cannot read the quantity ${text}`);
  return Number(digits) * UNITS[unit];
}
