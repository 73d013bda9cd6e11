// Keeps secrets out of what is logged: private keys, NATS credentials, passwords in addresses. They have no business in a
// log's fields to begin with; this is for the texts of errors, which others compose.

const HIDDEN = '[hidden]';

const SECRETS: readonly [pattern: RegExp, instead: string][] = [
  // PEM, whole or cut off, with its lines ended or escaped.
  [/-----BEGIN [A-Z0-9 ]*PRIVATE KEY-----[\s\S]*?(?:-----END [A-Z0-9 ]*PRIVATE KEY-----|$)/g, HIDDEN],
  // Of a NATS `.creds` file: the user's JWT and the seed of an NKEY.
  [/\beyJ[\w-]{8,}\.[\w-]+\.[\w-]+/g, HIDDEN],
  [/\bS[NCOAUX][A-Z2-7]{56}\b/g, HIDDEN],
  // scheme://user:password@host
  [/(\b[a-z][a-z0-9+.-]*:\/\/)[^\s/?#@"']+@/gi, `$1${HIDDEN}@`],
  [/\b(bearer|basic) [\w.~+/=-]{8,}/gi, `$1 ${HIDDEN}`],
];

/** Addresses, separated by commas, without what stands before an @: it could be a password, whatever the rest is. */
export function withoutPassword(addresses: string): string {
  return addresses.replace(/\/\/[^,]*@/g, '//…@');
}

/** The text without what looks like a secret. */
export function redact(text: string): string {
  let clean = text;
  for (const [pattern, instead] of SECRETS) clean = clean.replace(pattern, instead);
  return clean;
}
