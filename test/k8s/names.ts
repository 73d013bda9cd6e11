// What the manifests call things.
export const NAMESPACE = 'espalier';

/** Files of k8s/rendered, each with the folder of k8s/ that it is made of. */
export const RENDERED = {
  dev: 'overlays/dev',
  gpu: 'overlays/gpu',
  kueue: 'overlays/kueue',
  'existing-nats': 'examples/existing-nats',
  'large-gpu-pool': 'examples/large-gpu-pool',
} as const;

/** Pods of one component. */
export const componentSelector = (component: 'coordinator' | 'worker' | 'nats'): string =>
  `app.kubernetes.io/component=${component}`;

const core = `/api/v1/namespaces/${NAMESPACE}`;
const apps = `/apis/apps/v1/namespaces/${NAMESPACE}`;

/** Paths of the API. */
export const paths = {
  namespace: core,
  pods: `${core}/pods`,
  pod: (name: string) => `${core}/pods/${name}`,
  service: (name: string) => `${core}/services/${name}`,
  services: `${core}/services`,
  configMap: (name: string) => `${core}/configmaps/${name}`,
  claim: (name: string) => `${core}/persistentvolumeclaims/${name}`,
  secrets: `${core}/secrets`,
  secret: (name: string) => `${core}/secrets/${name}`,
  events: `${core}/events`,
  deployment: (name: string) => `${apps}/deployments/${name}`,
  statefulSet: (name: string) => `${apps}/statefulsets/${name}`,
  endpointSlices: `/apis/discovery.k8s.io/v1/namespaces/${NAMESPACE}/endpointslices`,
  scaledObject: (name: string) => `/apis/keda.sh/v1alpha1/namespaces/${NAMESPACE}/scaledobjects/${name}`,
  issuer: (name: string) => `/apis/cert-manager.io/v1/namespaces/${NAMESPACE}/issuers/${name}`,
  certificates: `/apis/cert-manager.io/v1/namespaces/${NAMESPACE}/certificates`,
  nodes: '/api/v1/nodes',
} as const;
