// Folders for jobs that run, `<root>/<process>/<job>-<attempt>`, and for checks of campaigns. What a killed process left is
// removed by the next one that starts here, or while it runs: of a process in another container, or in this one before it was
// started again, nothing can be seen but that it touches its folder.
import { randomUUID } from 'node:crypto';
import { mkdir, readdir, rm, utimes } from 'node:fs/promises';
import path from 'node:path';
import { isAbandoned } from '../../shared/abandoned.ts';
import { makeFolder } from '../../shared/make-folder.ts';
import { formatIdentity, identityOf, parseIdentity } from '../../shared/process-identity.ts';

const LOOK_MS = 60_000;
const STALE_MS = 3_600_000;

export interface ScratchOptions {
  /** How often the own folder is touched, and those of others are looked at. */
  readonly lookMs?: number;
  readonly staleMs?: number;
}

export class ScratchFolders {
  readonly #own: string;
  readonly #timer: NodeJS.Timeout;

  private constructor(own: string, timer: NodeJS.Timeout) {
    this.#own = own;
    this.#timer = timer;
  }

  /** Makes the root where it is missing. */
  static async open(root: string, options: ScratchOptions = {}): Promise<ScratchFolders> {
    const { lookMs = LOOK_MS, staleMs = STALE_MS } = options;
    await makeFolder(root);
    await removeAbandoned(root, staleMs);
    const own = path.join(root, formatIdentity(identityOf()));
    await mkdir(own, { recursive: true });
    const look = async () => {
      const now = new Date();
      await utimes(own, now, now);
      await removeAbandoned(root, staleMs);
    };
    // A disk that fails is told of by the jobs.
    return new ScratchFolders(own, setInterval(() => void look().catch(() => {}), lookMs).unref());
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
    clearInterval(this.#timer);
    await rm(this.#own, { recursive: true, force: true });
  }
}

async function removeAbandoned(root: string, staleMs: number): Promise<void> {
  for (const name of await readdir(root)) {
    const owner = parseIdentity(name);
    const folder = path.join(root, name);
    if (owner !== null && (await isAbandoned(folder, owner, staleMs)))
      await rm(folder, { recursive: true, force: true });
  }
}
