// Names in the cluster that certificates are made for: by deploy/kubernetes/make-certificates.mjs, and by cert-manager from
// k8s/components/cert-manager (a test compares the two).

export const NAMESPACE = 'espalier';

/** The Secret with the authority, in the form of cert-manager. */
export const AUTHORITY_SECRET = 'authority-tls';

const serviceNames = (service) => [
  service,
  `${service}.${NAMESPACE}`,
  `${service}.${NAMESPACE}.svc`,
  `${service}.${NAMESPACE}.svc.cluster.local`,
];

/** Roles by name, each with the host names of its certificate: users have none. A name of one server stands in no other's
 * certificate, or a worker could pass itself off as NATS. */
export const CERTIFICATE_HOSTS = {
  // localhost: for users who forward the port.
  coordinator: [...serviceNames('coordinator'), 'localhost'],
  // One name for all workers: --worker-tls-name of coordinators.
  worker: serviceNames('worker'),
  nats: [
    ...serviceNames('nats'),
    ...serviceNames('nats-headless'),
    `*.nats-headless.${NAMESPACE}.svc`,
    `*.nats-headless.${NAMESPACE}.svc.cluster.local`,
  ],
  submit: [],
  read: [],
  // Of people who keep NATS.
  admin: [],
};

export const secretName = (role) => `${role}-tls`;
