// All checks of a rendered manifest, by name.
import path from 'node:path';
import { pathToFileURL } from 'node:url';
import { projectRoot } from '../../../shared/project-root.ts';
import { checkCertificates } from './check-certificates.ts';
import { checkNetwork } from './check-network.ts';
import { checkPods } from './check-pods.ts';
import { checkReferences } from './check-references.ts';
import { checkScaling } from './check-scaling.ts';
import { checkSettings } from './check-settings.ts';
import type { KubeObject } from './objects.ts';

const names: {
  CERTIFICATE_HOSTS: Readonly<Record<string, readonly string[]>>;
  secretName(role: string): string;
} = await import(pathToFileURL(path.join(projectRoot(), 'deploy/kubernetes/names.mjs')).href);

export const { CERTIFICATE_HOSTS } = names;
/** Secrets of deploy/kubernetes/make-certificates.mjs. */
export const SCRIPTED_SECRETS = Object.keys(CERTIFICATE_HOSTS).map(names.secretName);

/** Each says what is wrong, a line each. */
export const CHECKS = {
  pods: checkPods,
  references: (objects: readonly KubeObject[]) => checkReferences(objects, SCRIPTED_SECRETS),
  settings: (objects: readonly KubeObject[]) => checkSettings(objects, CERTIFICATE_HOSTS),
  network: checkNetwork,
  scaling: checkScaling,
  certificates: (objects: readonly KubeObject[]) => checkCertificates(objects, CERTIFICATE_HOSTS),
} as const;
