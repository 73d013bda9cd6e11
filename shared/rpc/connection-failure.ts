// Why a connection to a worker or a coordinator does not come up: gRPC tells of the last try in words only, its own and OpenSSL's.
import { EspalierError } from '../errors.ts';

interface Failure {
  readonly words: RegExp;
  /** PEER stands for what is at the other end. */
  readonly text: string;
}

/** The peer ends the connection without a word before it is up. */
const CUT = /Failed to connect \(|ECONNRESET|Socket closed/;

const WITH_TLS: readonly Failure[] = [
  { words: /wrong version number/, text: 'PEER does not speak TLS, this side does' },
  { words: /certificate has expired/, text: "PEER's certificate has expired" },
  { words: /certificate is not yet valid/, text: "PEER's certificate is not valid yet" },
  {
    words: /self[- ]signed certificate|unable to (?:verify|get)|certificate signature failure/,
    text: "PEER's certificate is not signed by an authority that this side trusts",
  },
  { words: /unsupported certificate purpose/, text: "PEER's certificate is not one for servers" },
  {
    words: new RegExp(`alert (?:bad |unknown )?(?:certificate|ca)|${CUT.source}`),
    text: 'PEER does not accept this certificate, which has expired or is not signed by an authority that it trusts',
  },
];

const WITHOUT_TLS: readonly Failure[] = [
  { words: CUT, text: 'PEER ends every connection at once, as one with TLS does when the other side has none' },
];

/** @param details what gRPC says of a call that failed for want of a connection.
 * @returns EspalierError "tls" or "wrong_role" where the two sides do not accept each other, else "worker_unavailable" or
 * "coordinator_unavailable". */
export function connectionFailure(
  address: string,
  details: string,
  isSecure: boolean,
  peer: 'worker' | 'coordinator' = 'worker',
): EspalierError {
  const [, code, told] = /\[(tls|wrong_role)\] (.*?)(?:\. Resolution note|$)/s.exec(details) ?? [];
  if (told !== undefined) return new EspalierError(code as 'tls' | 'wrong_role', `${address}: ${told}`);
  const failure = (isSecure ? WITH_TLS : WITHOUT_TLS).find(({ words }) => words.test(details));
  if (failure === undefined) return new EspalierError(`${peer}_unavailable`, `${address}: cannot be reached`);
  return new EspalierError('tls', `${address}: ${failure.text.replace('PEER', `the ${peer}`)}`);
}
