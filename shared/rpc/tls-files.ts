// The files of one party of a TLS connection: read together, and checked as far as one side can, so that what is wrong
// is told at the start, with the name of the file, and not by a connection that fails.
import { createPrivateKey, type KeyObject, X509Certificate } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { EspalierError } from '../errors.ts';
import { checkRole, type RoleChoice, rolesOf } from './roles.ts';

/** Paths of files in PEM form. */
export interface TlsFiles {
  /** Certificates of the authorities that sign this party's peers and itself. */
  readonly ca: string;
  /** This party's certificate, followed by those between it and the authority. */
  readonly certificate: string;
  /** Its private key, without a passphrase. */
  readonly key: string;
}

interface NullableTlsFiles {
  readonly ca: string;
  readonly certificate: string | null;
  readonly key: string | null;
}

/** The content of the files. Never logged, nor part of an error. */
export interface TlsMaterial {
  readonly ca: Buffer;
  readonly certificate: Buffer;
  readonly key: Buffer;
  readonly validTo: Date;
}

const MAX_CHAIN = 8;
const PEM_CERTIFICATE = /-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/g;

/** Reads and checks the files of a party with this role, or one of these; null: whatever its role is.
 * @throws EspalierError "tls" or "wrong_role", in one line that names the file. */
export async function readTlsFiles(files: TlsFiles, role: RoleChoice | null): Promise<TlsMaterial> {
  const [ca, certificate, key] = await Promise.all([read(files.ca), read(files.certificate), read(files.key)]);
  const authorities = parseCertificates(files.ca, ca);
  const [own, ...between] = parseCertificates(files.certificate, certificate);
  checkTime(files.certificate, own);
  if (!own.checkPrivateKey(parseKey(files.key, key)))
    throw new EspalierError(
      'tls',
      `${files.key}: got a key that does not belong to the certificate ${files.certificate}`,
    );
  const authority = authorityOf(own, between, authorities);
  if (authority === null)
    throw new EspalierError('tls', `${files.certificate}: not signed by an authority of ${files.ca}`);
  checkTime(files.ca, authority);
  if (role !== null) checkRole(files.certificate, own.subjectAltName, role);
  return { ca, certificate, key, validTo: new Date(own.validTo) };
}

/** Checks files of a party with any role or none, as far as `readTlsFiles` does; it may be without a certificate.
 * @throws EspalierError "tls". */
export async function checkTlsFiles({ ca, certificate, key }: NullableTlsFiles): Promise<void> {
  if (certificate !== null && key !== null) await readTlsFiles({ ca, certificate, key }, null);
  else if (certificate !== null || key !== null)
    throw new EspalierError('tls', `${certificate ?? key}: got one of certificate and key, expected both or none`);
  else parseCertificates(ca, await read(ca));
}

/** Roles that the certificate in a file names. @throws EspalierError "tls" for a file that holds none. */
export async function certificateRoles(file: string): Promise<string[]> {
  const [own] = parseCertificates(file, await read(file));
  return rolesOf(own.subjectAltName);
}

/** When the certificate in a file ends; null for a file that cannot be read, or holds none. */
export async function certificateEnd(file: string): Promise<Date | null> {
  try {
    const [own] = parseCertificates(file, await read(file));
    return new Date(own.validTo);
  } catch {
    return null;
  }
}

async function read(file: string): Promise<Buffer> {
  try {
    return await readFile(file);
  } catch (caught) {
    const { code } = caught as NodeJS.ErrnoException;
    const reasons: Record<string, string> = { ENOENT: 'no such file', EACCES: 'permission denied', EISDIR: 'a folder' };
    throw new EspalierError('tls', `${file}: cannot be read: ${reasons[code ?? ''] ?? code}`);
  }
}

function parseCertificates(file: string, pem: Buffer): X509Certificate[] {
  const texts = pem.toString('latin1').match(PEM_CERTIFICATE) ?? [];
  try {
    if (texts.length > 0) return texts.map((text) => new X509Certificate(text));
  } catch {
    // Told below: the library's words say nothing to a user.
  }
  throw new EspalierError('tls', `${file}: got no certificate, expected one in PEM form`);
}

function parseKey(file: string, pem: Buffer): KeyObject {
  try {
    return createPrivateKey(pem);
  } catch {
    // No cause: nothing that was made from a key may reach a log.
    throw new EspalierError('tls', `${file}: got no private key, expected one in PEM form without a passphrase`);
  }
}

function checkTime(file: string, certificate: X509Certificate): void {
  const [from, to] = [new Date(certificate.validFrom), new Date(certificate.validTo)];
  const now = Date.now();
  if (to.getTime() < now) throw new EspalierError('tls', `${file}: the certificate expired at ${to.toISOString()}`);
  if (from.getTime() > now)
    throw new EspalierError('tls', `${file}: the certificate is valid only from ${from.toISOString()} on`);
}

/** The authority at the end of the chain that starts with `own`, or null. */
function authorityOf(
  own: X509Certificate,
  between: readonly X509Certificate[],
  authorities: readonly X509Certificate[],
): X509Certificate | null {
  let last = own;
  for (let length = 0; length < MAX_CHAIN; length += 1) {
    const isIssuer = (other: X509Certificate) => last.checkIssued(other) && last.verify(other.publicKey);
    const authority = authorities.find(isIssuer);
    if (authority !== undefined) return authority;
    const next = between.find(isIssuer);
    if (next === undefined || next === last) return null;
    last = next;
  }
  return null;
}
