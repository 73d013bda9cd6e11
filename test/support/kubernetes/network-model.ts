// A small model of NetworkPolicy: whether a connection comes up, by the rules of both of its ends. Rules of one's node
// (probes, forwarded ports) stand outside of policies.
import { type KubeObject, type Labels, type Peer, type PolicyRule, selects } from './objects.ts';

export const NAMESPACE = 'espalier';

/** An end of a connection: a pod, or an address outside of the cluster. */
export interface End {
  readonly name: string;
  /** null: outside of the cluster. */
  readonly namespace: string | null;
  readonly namespaceLabels: Labels;
  readonly labels: Labels;
}

export interface Port {
  readonly protocol: string;
  readonly number: number;
}

export function pod(name: string, namespace: string, labels: Labels, namespaceLabels: Labels = {}): End {
  return { name, namespace, labels, namespaceLabels: { 'kubernetes.io/metadata.name': namespace, ...namespaceLabels } };
}

export const INTERNET: End = { name: 'the internet', namespace: null, namespaceLabels: {}, labels: {} };

/** Whether `from` can open a connection to `port` of `to`. Only the policies of our namespace are known: other
 * namespaces let everything out and in. */
export function connects(objects: readonly KubeObject[], from: End, to: End, port: Port): boolean {
  const policies = objects.filter(({ kind }) => kind === 'NetworkPolicy');
  return isLet(policies, 'Egress', from, to, port) && isLet(policies, 'Ingress', to, from, port);
}

/** Policies of one pod and direction add up; without any, everything goes. */
function isLet(policies: readonly KubeObject[], direction: 'Ingress' | 'Egress', own: End, other: End, port: Port) {
  if (own.namespace !== NAMESPACE) return true;
  const mine = policies.filter(
    ({ metadata, spec }) =>
      metadata.namespace === own.namespace &&
      selects(spec?.podSelector, own.labels) &&
      // What the API server fills in where it is left out.
      (spec?.policyTypes ?? ['Ingress', ...(spec?.egress === undefined ? [] : ['Egress'])]).includes(direction),
  );
  if (mine.length === 0) return true;
  const rules = mine.flatMap(({ spec }) => (direction === 'Ingress' ? spec?.ingress : spec?.egress) ?? []);
  return rules.some((rule) => hasPeer(rule, direction, own, other) && hasPort(rule, port));
}

function hasPeer(rule: PolicyRule, direction: 'Ingress' | 'Egress', own: End, other: End): boolean {
  const peers = direction === 'Ingress' ? rule.from : rule.to;
  // None named, all meant.
  if (peers === undefined || peers.length === 0) return true;
  return peers.some((peer) => isPeer(peer, own, other));
}

function isPeer({ podSelector, namespaceSelector, ipBlock }: Peer, own: End, other: End): boolean {
  // Addresses of pods are in some block, too; which, a manifest cannot know.
  if (ipBlock !== undefined) return true;
  if (other.namespace === null) return false;
  const isInNamespace =
    namespaceSelector === undefined
      ? other.namespace === own.namespace
      : selects(namespaceSelector, other.namespaceLabels);
  return isInNamespace && (podSelector === undefined || selects(podSelector, other.labels));
}

function hasPort({ ports }: PolicyRule, { protocol, number }: Port): boolean {
  if (ports === undefined || ports.length === 0) return true;
  return ports.some(({ protocol: allowed = 'TCP', port, endPort }) => {
    if (allowed !== protocol) return false;
    if (port === undefined) return true;
    if (typeof port === 'string') throw new Error(`port ${port}: the model knows numbers only`);
    return number >= port && number <= (endPort ?? port);
  });
}
