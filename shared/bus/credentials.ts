// What a file of credentials holds: a .creds file with a JWT and a seed, or a seed alone. Never logged.
import { readFile } from 'node:fs/promises';
import { EspalierError } from '../errors.ts';

export interface Credentials {
  readonly isJwt: boolean;
  readonly seed: string;
  /** The whole file, as the client's parser of .creds files takes it. */
  readonly content: Uint8Array;
}

const SEED = /^S[A-Z2-7]{57}$/;
const SECTION = /-{3,}BEGIN ([A-Z ]+)-{3,}\s*\n\s*(\S+)\s*\n\s*-{3,}END /g;

/** @returns null when the file is neither. @throws EspalierError "usage" for a file that cannot be read. */
export async function readCredentials(file: string): Promise<Credentials | null> {
  try {
    return parseCredentials(await readFile(file));
  } catch (caught) {
    throw new EspalierError('usage', `${file}: cannot be read: ${(caught as NodeJS.ErrnoException).code}`);
  }
}

/** @returns null when the file is neither. */
export function parseCredentials(content: Uint8Array): Credentials | null {
  const text = new TextDecoder().decode(content);
  const bare = text.trim();
  if (SEED.test(bare)) return { isJwt: false, seed: bare, content };
  const sections = [...text.matchAll(SECTION)].map(([, name, body]) => ({ name: name!, body: body!.trim() }));
  const isJwt = sections.some(({ name, body }) => name.endsWith('JWT') && body.split('.').length === 3);
  const seed = sections.find(({ name, body }) => name.endsWith('SEED') && SEED.test(body))?.body;
  return isJwt && seed !== undefined ? { isJwt, seed, content } : null;
}
