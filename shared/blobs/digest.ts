// Names of blobs: the SHA-256 of the content, 64 lower-case hexadecimal digits.
import { EspalierError } from '../errors.ts';

const DIGEST = /^[0-9a-f]{64}$/;

/** Lets a name from outside through only when it cannot be anything but a digest.
 * @throws EspalierError "protocol" otherwise. */
export function checkDigest(digest: string): string {
  if (!DIGEST.test(digest))
    throw new EspalierError(
      'protocol',
      `got blob name ${JSON.stringify(digest.slice(0, 80))}, expected 64 hexadecimal digits`,
    );
  return digest;
}
