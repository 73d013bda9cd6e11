// The image that makes certificates has all that its program imports: its scripts are copied one by one.
import assert from 'node:assert/strict';
import fs from 'node:fs';
import path from 'node:path';
import { test } from 'node:test';

const CHECKOUT = path.resolve(import.meta.dirname, '..', '..', '..');
const read = (file) => fs.readFileSync(path.join(CHECKOUT, file), 'utf8');

/** The file and all of the project's that it imports or, by its path, runs. */
function filesOf(file) {
  const named = [...read(file).matchAll(/from '(\.[^']+)'|resolve\(import\.meta\.dirname, '\.\.', '([^']+)'\)/g)];
  const others = named.map(([, imported, run]) => path.join(path.dirname(file), imported ?? path.join('..', run)));
  return new Set([file, ...others.flatMap((other) => [...filesOf(other)])]);
}

test('certificates.Dockerfile copies every script that it needs', () => {
  const copies = [...read('deploy/images/certificates.Dockerfile').matchAll(/^COPY (.+) \S+$/gm)];
  const copied = copies.flatMap(([, names]) => names.split(' '));
  assert.deepEqual(copied.sort(), [...filesOf('deploy/compose/make-certificates.mjs')].sort());
});
