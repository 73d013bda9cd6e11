// Certificates for tests, made by the script that users have, and the bad ones that it would not make.
import { execFileSync } from 'node:child_process';
import { copyFileSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { projectRoot } from '../../shared/project-root.ts';
import type { Role } from '../../shared/rpc/roles.ts';
import type { TlsFiles } from '../../shared/rpc/tls-files.ts';

export const CERTIFICATE_SCRIPT = path.join(projectRoot(), 'deploy/make-certificates.mjs');

/** A folder with an authority and its certificates. */
export class Certificates {
  readonly folder: string;

  /** @param hosts names of the worker, the coordinator and NATS.
   * @param authority whose certificates these are; left out: an authority of their own. */
  constructor(hosts: readonly string[], authority?: Certificates) {
    this.folder = mkdtempSync(path.join(tmpdir(), 'espalier-certificates-'));
    const flags = hosts.flatMap((host) => ['--host', host]);
    if (authority !== undefined) flags.push('--authority', authority.folder);
    execFileSync(process.execPath, [CERTIFICATE_SCRIPT, '--out', this.folder, ...flags], { stdio: 'pipe' });
  }

  path(name: string): string {
    return path.join(this.folder, name);
  }

  of(role: Role | 'nats' | 'admin'): TlsFiles {
    return { ca: this.path('ca.pem'), certificate: this.path(`${role}.pem`), key: this.path(`${role}-key.pem`) };
  }

  flags(role: Role): string[] {
    const { ca, certificate, key } = this.of(role);
    return ['--tls-ca', ca, '--tls-certificate', certificate, '--tls-key', key];
  }

  /** A certificate of this authority for the key of `role` that ended a day ago. */
  expired(role: Role): TlsFiles {
    return { ...this.of(role), certificate: this.#sign(role, ['-days', '-1'], `URI:espalier:role:${role}`) };
  }

  /** One with other alternative names. */
  named(role: Role, alternativeNames: string): TlsFiles {
    return { ...this.of(role), certificate: this.#sign(role, ['-days', '1'], alternativeNames) };
  }

  /** Puts other files in the place of this folder's, as a renewal does. */
  replaceBy(other: Certificates, names: readonly string[]): void {
    for (const name of names) copyFileSync(other.path(name), this.path(name));
  }

  remove(): void {
    rmSync(this.folder, { recursive: true });
  }

  #sign(role: Role, time: readonly string[], alternativeNames: string): string {
    const out = mkdtempSync(path.join(this.folder, 'signed-'));
    const [request, certificate] = ['request', 'certificate'].map((name) => path.join(out, `${name}.pem`));
    const names = ['-addext', `subjectAltName=${alternativeNames},IP:127.0.0.1`];
    openssl('req', '-new', '-key', this.path(`${role}-key.pem`), '-subj', '/CN=test', ...names, '-out', request);
    const authority = ['-CA', this.path('ca.pem'), '-CAkey', this.path('ca-key.pem'), '-set_serial', '2'];
    openssl('x509', '-req', '-copy_extensions', 'copy', '-in', request, ...authority, ...time, '-out', certificate);
    return certificate;
  }
}

function openssl(...args: string[]): void {
  execFileSync('openssl', args, { stdio: 'pipe' });
}
