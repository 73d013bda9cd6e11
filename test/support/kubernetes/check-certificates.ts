// Certificates of cert-manager have the roles and names of those that the script makes.
import type { KubeObject } from './objects.ts';

/** @param hosts names by role. @returns what is wrong, a line each. */
export function checkCertificates(
  objects: readonly KubeObject[],
  hosts: Readonly<Record<string, readonly string[]>>,
): string[] {
  const certificates = objects.filter(({ kind, spec }) => kind === 'Certificate' && !spec?.isCA);
  if (certificates.length === 0) return [];
  const runsNats = objects.some(({ kind, metadata }) => kind === 'StatefulSet' && metadata.name === 'nats');
  const expected = Object.keys(hosts).filter((role) => role !== 'nats' || runsNats);
  const problems = expected.flatMap((role) =>
    certificates.some(({ metadata }) => metadata.name === role) ? [] : [`Certificate ${role}: missing`],
  );
  for (const { metadata, spec } of certificates) {
    const { name } = metadata;
    const { uris = [], dnsNames = [], secretName } = spec!;
    const wrong = (what: string, got: unknown, wanted: unknown) =>
      problems.push(`Certificate ${name}: ${what}: got ${got}, expected ${wanted}`);
    if (uris.join() !== `espalier:role:${name}`) wrong('role', uris, `espalier:role:${name}`);
    if (dnsNames.join() !== (hosts[name] ?? []).join()) wrong('names', dnsNames, hosts[name]);
    if (secretName !== `${name}-tls`) wrong('Secret', secretName, `${name}-tls`);
  }
  return problems;
}
