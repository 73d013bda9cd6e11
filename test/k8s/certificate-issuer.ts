// Stands for cert-manager: makes the Secrets that the Certificates of our namespace ask for, with the names, usages and
// lifetime that they state, of the authority that their issuer names.
import { execFileSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { mkdirSync, mkdtempSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import type { KubeApi } from './kube-api.ts';
import type { KubeObject } from './kube-objects.ts';
import { paths } from './names.ts';

interface Certificate extends KubeObject {
  readonly spec: {
    readonly secretName: string;
    readonly issuerRef: { readonly name: string };
    readonly isCA?: boolean;
    readonly commonName?: string;
    readonly dnsNames?: readonly string[];
    readonly uris?: readonly string[];
    readonly usages?: readonly string[];
    readonly duration?: string;
  };
}

interface Issuer extends KubeObject {
  readonly spec: { readonly selfSigned?: object; readonly ca?: { readonly secretName: string } };
}

interface Authority {
  readonly certificate: string;
  readonly key: string;
}

const KEY_USAGES: Readonly<Record<string, string>> = {
  'digital signature': 'digitalSignature',
  'cert sign': 'keyCertSign',
  'crl sign': 'cRLSign',
  'key encipherment': 'keyEncipherment',
};
const EXTENDED_USAGES: Readonly<Record<string, string>> = { 'server auth': 'serverAuth', 'client auth': 'clientAuth' };

/** Makes the Secret of every Certificate that is there; authorities first. */
export async function issueCertificates(api: KubeApi, folder: string): Promise<void> {
  const certificates = await api.list<Certificate>(paths.certificates);
  const order = [...certificates].sort((a, b) => Number(b.spec.isCA ?? false) - Number(a.spec.isCA ?? false));
  mkdirSync(folder, { recursive: true, mode: 0o700 });
  const authorities = new Map<string, Authority>();
  for (const { metadata, spec } of order) {
    const issuer = await api.get<Issuer>(paths.issuer(spec.issuerRef.name));
    const secret = issuer.spec.ca?.secretName;
    const authority = secret === undefined ? null : authorities.get(secret);
    if (authority === undefined) throw new Error(`certificate ${metadata.name}: no authority in the Secret ${secret}`);
    const made = issue(mkdtempSync(path.join(folder, `${metadata.name}-`)), spec, authority);
    if (spec.isCA) authorities.set(spec.secretName, made);
    const files = {
      'ca.crt': readFileSync((authority ?? made).certificate),
      'tls.crt': readFileSync(made.certificate),
      'tls.key': readFileSync(made.key),
    };
    const data = Object.fromEntries(Object.entries(files).map(([name, bytes]) => [name, bytes.toString('base64')]));
    await api.create(paths.secrets, {
      apiVersion: 'v1',
      kind: 'Secret',
      type: 'kubernetes.io/tls',
      metadata: { name: spec.secretName },
      data,
    });
  }
}

/** @param authority null: it signs itself. */
function issue(folder: string, spec: Certificate['spec'], authority: Authority | null): Authority {
  const [key, request, certificate, extensions] = ['key', 'csr', 'crt', 'ext'].map((end) =>
    path.join(folder, `tls.${end}`),
  );
  const subject = ['-subj', `/CN=${spec.commonName ?? ''}`];
  const newKey = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-keyout', key];
  openssl('req', '-new', ...newKey, ...subject, '-out', request);
  const usages = (names: Readonly<Record<string, string>>) =>
    (spec.usages ?? []).filter((usage) => names[usage] !== undefined).map((usage) => names[usage]);
  const names = [
    ...(spec.dnsNames ?? []).map((name) => `DNS:${name}`),
    ...(spec.uris ?? []).map((uri) => `URI:${uri}`),
  ];
  const lines = [
    ['basicConstraints', [`critical,CA:${spec.isCA ? 'TRUE' : 'FALSE'}`]],
    ['keyUsage', usages(KEY_USAGES)],
    ['extendedKeyUsage', usages(EXTENDED_USAGES)],
    ['subjectAltName', names],
  ] as const;
  const text = lines.filter(([, values]) => values.length > 0).map(([name, values]) => `${name}=${values.join(',')}\n`);
  writeFileSync(extensions, text.join(''));
  const signer = authority === null ? ['-signkey', key] : ['-CA', authority.certificate, '-CAkey', authority.key];
  const serial = ['-set_serial', `0x01${randomBytes(15).toString('hex')}`, '-days', daysOf(spec.duration)];
  openssl('x509', '-req', '-in', request, ...signer, ...serial, '-extfile', extensions, '-out', certificate);
  return { certificate, key };
}

/** "2160h" as openssl wants it. */
function daysOf(duration = '2160h'): string {
  const [, hours] = /^(\d+)h/.exec(duration) ?? [];
  if (hours === undefined) throw new Error(`expected a duration in hours, got ${duration}`);
  return String(Math.max(1, Math.floor(Number(hours) / 24)));
}

function openssl(...args: string[]): void {
  execFileSync('openssl', args, { stdio: 'pipe' });
}
