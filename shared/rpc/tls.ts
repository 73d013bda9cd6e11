// Mutual TLS: one object a process holds its certificate and hands out credentials for servers and channels. They follow
// the files: connections that are made after a renewal use the new certificate, those that stand are left alone. Files
// that are found wrong later are told of once and change nothing.
import { isIP } from 'node:net';
import { checkServerIdentity, type PeerCertificate } from 'node:tls';
import { type ChannelCredentials, type ChannelOptions, experimental, type ServerCredentials } from '@grpc/grpc-js';
import { EspalierError, toEspalierError } from '../errors.ts';
import type { Log } from '../log.ts';
import { checkRole, type Role, type RoleChoice } from './roles.ts';
import { readTlsFiles, type TlsFiles, type TlsMaterial } from './tls-files.ts';

const RELOAD_MS = 5_000;

export interface TlsOptions {
  /** How often the files are looked at. */
  readonly reloadMs?: number;
  /** Told after a renewal. */
  readonly onReload?: (validTo: Date) => void;
  /** Told once of each problem that keeps renewed files from being used. */
  readonly onProblem?: (error: EspalierError) => void;
}

type CaListener = experimental.CaCertificateUpdateListener;
type IdentityListener = experimental.IdentityCertificateUpdateListener;

/** Whoever opened it closes it, after the servers and channels. */
export class Tls implements experimental.CertificateProvider {
  readonly #files: TlsFiles;
  readonly #role: RoleChoice;
  readonly #options: TlsOptions;
  readonly #caListeners = new Set<CaListener>();
  readonly #identityListeners = new Set<IdentityListener>();
  readonly #timer: NodeJS.Timeout;
  #material: TlsMaterial;
  #problem = '';
  #isReading = false;

  private constructor(files: TlsFiles, role: RoleChoice, material: TlsMaterial, options: TlsOptions) {
    this.#files = files;
    this.#role = role;
    this.#material = material;
    this.#options = options;
    this.#timer = setInterval(() => void this.#reload(), options.reloadMs ?? RELOAD_MS).unref();
  }

  /** Reads the files of this process, which has `role`, or one of several. @throws EspalierError "tls" or "wrong_role". */
  static async open(files: TlsFiles, role: RoleChoice, options: TlsOptions = {}): Promise<Tls> {
    return new Tls(files, role, await readTlsFiles(files, role), options);
  }

  /** The same for a process that keeps a log: renewals and what is wrong with them are told there. */
  static openLogged(files: TlsFiles, role: Role, log: Log): Promise<Tls> {
    return Tls.open(files, role, {
      onReload: (validTo) => log.info('certificate renewed', { validTo }),
      onProblem: (error) => log.warning('certificate not renewed', { error }),
    });
  }

  /** When the certificate in use ends. */
  get validTo(): Date {
    return this.#material.validTo;
  }

  /** For a server that only peers with a certificate of the authority can connect to. */
  serverCredentials(): ServerCredentials {
    return experimental.createCertificateProviderServerCredentials(this, this, true);
  }

  /** For a channel to `host`, which must present a certificate of the authority with that name and with `peerRole`. */
  channelCredentials(host: string, peerRole: Role): ChannelCredentials {
    return experimental.createCertificateProviderChannelCredentials(this, this, {
      checkServerIdentity: (_name, certificate) => identityProblem(host, certificate, peerRole),
    });
  }

  /** Stops looking at the files. */
  close(): void {
    clearInterval(this.#timer);
  }

  addCaCertificateListener(listener: CaListener): void {
    this.#caListeners.add(listener);
    process.nextTick(() => this.#tellCa(listener));
  }

  removeCaCertificateListener(listener: CaListener): void {
    this.#caListeners.delete(listener);
  }

  addIdentityCertificateListener(listener: IdentityListener): void {
    this.#identityListeners.add(listener);
    process.nextTick(() => this.#tellIdentity(listener));
  }

  removeIdentityCertificateListener(listener: IdentityListener): void {
    this.#identityListeners.delete(listener);
  }

  #tellCa(listener: CaListener): void {
    listener({ caCertificate: this.#material.ca });
  }

  #tellIdentity(listener: IdentityListener): void {
    listener({ certificate: this.#material.certificate, privateKey: this.#material.key });
  }

  async #reload(): Promise<void> {
    if (this.#isReading) return;
    this.#isReading = true;
    try {
      const material = await readTlsFiles(this.#files, this.#role);
      this.#problem = '';
      if (isSame(material, this.#material)) return;
      this.#material = material;
      for (const listener of this.#caListeners) this.#tellCa(listener);
      for (const listener of this.#identityListeners) this.#tellIdentity(listener);
      this.#options.onReload?.(material.validTo);
    } catch (caught) {
      const error = toEspalierError(caught);
      if (error.message !== this.#problem) this.#options.onProblem?.(error);
      this.#problem = error.message;
    } finally {
      this.#isReading = false;
    }
  }
}

/** Options of a channel to `host`: server name indication knows no addresses, so for one a name stands in that nobody
 * looks at. @param isOverride whether the channel's own address has another host. */
export function serverNameOptions(host: string, isOverride = false): ChannelOptions {
  if (isIP(host) !== 0) return { 'grpc.ssl_target_name_override': 'address.invalid' };
  return isOverride ? { 'grpc.ssl_target_name_override': host } : {};
}

/** In the form that `connectionFailure` finds again among gRPC's words. */
function identityProblem(host: string, certificate: PeerCertificate, role: Role): Error | undefined {
  try {
    checkRole(`the ${role}`, certificate.subjectaltname, role);
    if (checkServerIdentity(host, certificate) === undefined) return undefined;
    throw new EspalierError('tls', `got a certificate for ${namesOf(certificate)}, expected one for ${host}`);
  } catch (caught) {
    const { code, message } = toEspalierError(caught);
    return new Error(`[${code}] ${message}`);
  }
}

function namesOf({ subjectaltname = '' }: PeerCertificate): string {
  const names = subjectaltname.split(', ').filter((name) => /^(DNS|IP Address):/.test(name));
  return names.map((name) => name.slice(name.indexOf(':') + 1)).join(', ') || 'no host';
}

function isSame(a: TlsMaterial, b: TlsMaterial): boolean {
  return a.ca.equals(b.ca) && a.certificate.equals(b.certificate) && a.key.equals(b.key);
}
