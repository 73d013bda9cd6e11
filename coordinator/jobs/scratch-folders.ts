// Folders for jobs that run, `<root>/<process>/<job>-<attempt>`, and for checks of campaigns. What a killed process left is removed by the next one that
// starts here; processes of other containers, of which nothing can be seen, keep theirs.
import { randomUUID } from 'node:crypto';
import { mkdir, readdir, rm } from 'node:fs/promises';
import path from 'node:path';
import { makeFolder } from '../../shared/make-folder.ts';
import { formatIdentity, identityOf, livenessOf, parseIdentity } from '../../shared/process-identity.ts';

export class ScratchFolders {
  readonly #own: string;

  private constructor(own: string) {
    this.#own = own;
  }

  /** Makes the root where it is missing. */
  static async open(root: string): Promise<ScratchFolders> {
    await makeFolder(root);
    for (const name of await readdir(root)) {
      const identity = parseIdentity(name);
      if (identity !== null && livenessOf(identity) === 'dead')
        await rm(path.join(root, name), { recursive: true, force: true });
    }
    const own = path.join(root, formatIdentity(identityOf()));
    await mkdir(own, { recursive: true });
    return new ScratchFolders(own);
  }

  /** A path that no other claim of a job has. */
  pathFor(job: string, attempt: number): string {
    return path.join(this.#own, `${job}-${attempt}`);
  }

  /** A path for a submit, which no other one has. */
  pathForCheck(): string {
    return path.join(this.#own, `check-${randomUUID()}`);
  }

  async close(): Promise<void> {
    await rm(this.#own, { recursive: true, force: true });
  }
}
