// Notes the certificate that NATS presents, while it is checked as it would be without this.
import { checkServerIdentity, type PeerCertificate } from 'node:tls';

export class ServerCertificate {
  #validTo: Date | null = null;

  /** When the one of the last connection ends; null: there was none. */
  get validTo(): Date | null {
    return this.#validTo;
  }

  /** An option of a TLS connection: asked about a certificate that an authority has signed. */
  readonly check = (host: string, certificate: PeerCertificate): Error | undefined => {
    const problem = checkServerIdentity(host, certificate);
    if (problem === undefined) this.#validTo = new Date(certificate.valid_to);
    return problem;
  };
}
