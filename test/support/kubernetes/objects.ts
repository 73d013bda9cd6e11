// Objects of a rendered manifest, as far as checks look at them.
import { readFileSync } from 'node:fs';
import path from 'node:path';
import { pathToFileURL } from 'node:url';
import { parseAllDocuments } from 'yaml';
import { projectRoot } from '../../../shared/project-root.ts';

export type Labels = Readonly<Record<string, string>>;

export interface LabelSelector {
  matchLabels?: Record<string, string>;
  matchExpressions?: { key: string; operator: string; values?: string[] }[];
}

export interface SecurityContext {
  runAsNonRoot?: boolean;
  runAsUser?: number;
  runAsGroup?: number;
  fsGroup?: number;
  privileged?: boolean;
  allowPrivilegeEscalation?: boolean;
  readOnlyRootFilesystem?: boolean;
  capabilities?: { add?: string[]; drop?: string[] };
  seccompProfile?: { type: string };
}

export interface Probe {
  grpc?: { port: number; service?: string };
  httpGet?: { path: string; port: number | string };
  periodSeconds?: number;
  timeoutSeconds?: number;
  failureThreshold?: number;
}

export interface EnvVariable {
  name: string;
  value?: string;
  valueFrom?: { fieldRef?: { fieldPath: string }; secretKeyRef?: { name: string; key: string } };
}

export interface Container {
  name: string;
  image: string;
  command?: string[];
  args?: string[];
  env?: EnvVariable[];
  envFrom?: { configMapRef?: { name: string }; secretRef?: { name: string } }[];
  ports?: { name: string; containerPort: number; protocol?: string }[];
  startupProbe?: Probe;
  readinessProbe?: Probe;
  livenessProbe?: Probe;
  lifecycle?: { preStop?: { sleep?: { seconds: number } } };
  resources?: { requests?: Record<string, string | number>; limits?: Record<string, string | number> };
  securityContext?: SecurityContext;
  volumeMounts?: { name: string; mountPath: string; readOnly?: boolean; subPath?: string }[];
}

export interface Volume {
  name: string;
  secret?: { secretName: string; defaultMode?: number };
  configMap?: { name: string };
  emptyDir?: { sizeLimit?: string; medium?: string };
  persistentVolumeClaim?: { claimName: string; readOnly?: boolean };
  hostPath?: { path: string };
}

export interface PodSpec {
  serviceAccountName?: string;
  automountServiceAccountToken?: boolean;
  enableServiceLinks?: boolean;
  priorityClassName?: string;
  terminationGracePeriodSeconds?: number;
  hostNetwork?: boolean;
  hostPID?: boolean;
  hostIPC?: boolean;
  securityContext?: SecurityContext;
  topologySpreadConstraints?: { topologyKey: string; labelSelector: LabelSelector }[];
  tolerations?: { key?: string; operator?: string; effect?: string }[];
  affinity?: { nodeAffinity?: Record<string, unknown> };
  nodeSelector?: Record<string, string>;
  initContainers?: Container[];
  containers: Container[];
  volumes?: Volume[];
}

export interface Peer {
  podSelector?: LabelSelector;
  namespaceSelector?: LabelSelector;
  ipBlock?: { cidr: string };
}

export interface PolicyPort {
  protocol?: string;
  port?: number | string;
  endPort?: number;
}

export interface PolicyRule {
  from?: Peer[];
  to?: Peer[];
  ports?: PolicyPort[];
}

export interface ServicePort {
  name: string;
  port: number;
  targetPort?: number | string;
}

/** The fields of all kinds that are looked at; which of them an object has, its kind says. */
export interface Spec {
  replicas?: number;
  selector?: LabelSelector & Record<string, unknown>;
  template?: { metadata: { labels: Record<string, string> }; spec: PodSpec };
  strategy?: { rollingUpdate?: { maxSurge?: number | string; maxUnavailable?: number | string } };
  serviceName?: string;
  persistentVolumeClaimRetentionPolicy?: { whenDeleted: string; whenScaled: string };
  volumeClaimTemplates?: { metadata: { name: string }; spec: { resources: { requests: { storage: string } } } }[];
  podSelector?: LabelSelector;
  policyTypes?: string[];
  ingress?: PolicyRule[];
  egress?: PolicyRule[];
  ports?: ServicePort[];
  clusterIP?: string;
  minAvailable?: number | string;
  maxUnavailable?: number | string;
  endpoints?: { port: string; path?: string }[];
  scaleTargetRef?: { kind?: string; name: string };
  minReplicaCount?: number;
  maxReplicaCount?: number;
  triggers?: { type: string; name: string; metadata: Record<string, string> }[];
  secretName?: string;
  uris?: string[];
  dnsNames?: string[];
  isCA?: boolean;
  issuerRef?: { name: string; kind: string };
  ca?: { secretName: string };
}

export interface KubeObject {
  apiVersion: string;
  kind: string;
  metadata: { name: string; namespace?: string; labels?: Record<string, string>; annotations?: Record<string, string> };
  spec?: Spec;
  data?: Record<string, string>;
  automountServiceAccountToken?: boolean;
}

const manifests: {
  RENDERED: Readonly<Record<string, string>>;
  staleness(root: string, name: string): string | null;
  generatedSources(): Readonly<Record<string, string>>;
} = await import(pathToFileURL(path.join(projectRoot(), 'deploy/kubernetes/manifests.mjs')).href);

/** Names of the rendered files, as in k8s/rendered/NAME.yaml. */
export const RENDERED = Object.keys(manifests.RENDERED);

/** Texts by path. */
export const GENERATED_SOURCES = manifests.generatedSources();

/** Why a rendered file is not what its sources make, or null. */
export const staleness = (name: string, root = projectRoot()) => manifests.staleness(root, name);

const parsed = new Map<string, KubeObject[]>();

/** The objects of one rendered file, to be changed at will. */
export function readRendered(name: string): KubeObject[] {
  const objects = parsed.get(name) ?? parse(name);
  parsed.set(name, objects);
  return structuredClone(objects);
}

function parse(name: string): KubeObject[] {
  const text = readFileSync(path.join(projectRoot(), 'k8s/rendered', `${name}.yaml`), 'utf8');
  return parseAllDocuments(text).map((document) => {
    if (document.errors.length > 0) throw document.errors[0];
    return document.toJS() as KubeObject;
  });
}

/** @throws Error when there is none. */
export function find(objects: readonly KubeObject[], kind: string, name: string): KubeObject {
  const found = objects.find((object) => object.kind === kind && object.metadata.name === name);
  if (found === undefined) throw new Error(`no ${kind} ${name}`);
  return found;
}

/** What starts pods. */
export interface Workload {
  readonly name: string;
  readonly labels: Labels;
  readonly object: KubeObject;
  readonly pod: PodSpec;
  readonly containers: readonly Container[];
}

export function workloadsOf(objects: readonly KubeObject[]): Workload[] {
  return objects.flatMap((object) => {
    const template = object.spec?.template;
    if (template === undefined) return [];
    const { containers, initContainers = [] } = template.spec;
    return [
      {
        name: `${object.kind} ${object.metadata.name}`,
        labels: template.metadata.labels,
        object,
        pod: template.spec,
        containers: [...initContainers, ...containers],
      },
    ];
  });
}

export function selects(selector: LabelSelector | undefined, labels: Labels): boolean {
  if (selector === undefined) return false;
  const { matchLabels = {}, matchExpressions = [] } = selector;
  const areEqual = Object.entries(matchLabels).every(([key, value]) => labels[key] === value);
  return areEqual && matchExpressions.every((expression) => holds(expression, labels));
}

function holds({ key, operator, values = [] }: { key: string; operator: string; values?: string[] }, labels: Labels) {
  const value = labels[key];
  switch (operator) {
    case 'In':
      return value !== undefined && values.includes(value);
    case 'NotIn':
      return value === undefined || !values.includes(value);
    case 'Exists':
      return value !== undefined;
    case 'DoesNotExist':
      return value === undefined;
    default:
      throw new Error(`selector: unknown operator ${operator}`);
  }
}

const UNITS: Readonly<Record<string, number>> = {
  '': 1,
  m: 1e-3,
  k: 1e3,
  M: 1e6,
  G: 1e9,
  T: 1e12,
  Ki: 2 ** 10,
  Mi: 2 ** 20,
  Gi: 2 ** 30,
  Ti: 2 ** 40,
};

/** A quantity of Kubernetes ("500m", "2Gi") as a number. */
export function quantity(text: string | number): number {
  const [, digits, unit = ''] = /^(\d+(?:\.\d+)?)([a-zA-Z]*)$/.exec(String(text)) ?? [];
  if (digits === undefined || UNITS[unit] === undefined) throw new Error(`not a quantity: ${text}`);
  return Number(digits) * UNITS[unit];
}
