// A file system of its own in memory, which a test can fill. Only root may mount one.
import { execFileSync } from 'node:child_process';
import { appendFileSync, mkdtempSync, rmdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';

const PIECE = Buffer.alloc(1 << 16);

export class SmallDisk {
  readonly folder: string;

  private constructor(folder: string) {
    this.folder = folder;
  }

  /** @returns null where nothing can be mounted. Whoever mounts it removes it, after all that has files open in it. */
  static mount(megabytes: number): SmallDisk | null {
    const folder = mkdtempSync(path.join(tmpdir(), 'espalier-disk-'));
    try {
      execFileSync('mount', ['-t', 'tmpfs', '-o', `size=${megabytes}m`, 'tmpfs', folder], { stdio: 'pipe' });
    } catch {
      rmdirSync(folder);
      return null;
    }
    return new SmallDisk(folder);
  }

  /** Takes all room that is left, to the last block. */
  fill(): void {
    for (let size = PIECE.length; size >= 1; size = Math.floor(size / 16))
      try {
        for (;;) appendFileSync(this.#filler, PIECE.subarray(0, size));
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code !== 'ENOSPC') throw error;
      }
  }

  free(): void {
    rmSync(this.#filler, { force: true });
  }

  remove(): void {
    execFileSync('umount', [this.folder], { stdio: 'pipe' });
    rmdirSync(this.folder);
  }

  get #filler(): string {
    return path.join(this.folder, 'filler');
  }
}
