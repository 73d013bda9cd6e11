// Names of patches that were fitted here. To hash a patch takes milliseconds, in which the device could go on with it: it has a name
// at once, and its digest stands for that name as soon as it is known. Nothing depends on what is remembered: a patch under a digest
// that stands for no name is read from its file.

/** Several times the patches that a device has. */
const MOST_NAMES = 1024;

export class FittedNames {
  private count = 0;
  /** By digest, oldest first. */
  private readonly names = new Map<string, string>();

  /** A name that no other patch has, nor any digest. */
  next(): string {
    this.count += 1;
    return `fitted ${this.count}`;
  }

  /** The patch of this name turned out to have this digest. */
  known(name: string, digest: string): void {
    this.names.delete(digest);
    for (const oldest of this.names.keys()) if (this.names.size >= MOST_NAMES) this.names.delete(oldest);
    this.names.set(digest, name);
  }

  /** What a patch is called here: its digest, unless it was fitted here. */
  of(digest: string): string {
    return this.names.get(digest) ?? digest;
  }
}
