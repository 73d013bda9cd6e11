// Writes a set of files whole or not at all, and never over one that is there. Private ones can be read by their owner only.

import fs from 'node:fs';
import path from 'node:path';

/** What a user did wrong, in one line. */
export class Problem extends Error {}

/** Calls `make` with an empty folder, in which it makes all the files of `names`, and moves them to `out`.
 * @param isPrivate whether a file is for its owner alone. @throws Problem when one of them is there already. */
export function makeNewFiles(out, names, isPrivate, make) {
  fs.mkdirSync(out, { recursive: true });
  const present = names.filter((name) => fs.existsSync(path.join(out, name)));
  if (present.length > 0) throw new Problem(`${out}: has ${present.join(', ')} already; choose another --out`);

  process.umask(0o077);
  const aside = fs.mkdtempSync(path.join(out, '.making-'));
  try {
    make(aside);
    for (const name of names) {
      const file = path.join(aside, name);
      fs.chmodSync(file, isPrivate(name) ? 0o600 : 0o644);
      // Unlike a rename, a link fails where another has come in between.
      fs.linkSync(file, path.join(out, name));
    }
  } finally {
    fs.rmSync(aside, { recursive: true });
  }
  for (const name of names) process.stdout.write(`${path.join(out, name)}\n`);
}

/** Runs a script's main function; what a user did wrong, or the disk, is told in one line. */
export function runScript(name, main) {
  try {
    main();
  } catch (error) {
    if (!(error instanceof Problem) && error.code === undefined) throw error;
    process.stderr.write(`${name}: ${error.message}\n`);
    process.exitCode = 1;
  }
}
