// A folder of content-addressed blobs, shared by any number of processes of one machine.
//
//   <dir>/sha256/ab/cdef…        one blob; appears by a rename after its size and digest were checked, never changes
//   <dir>/sha256/ab/cdef….link   beside a blob that is a symbolic link to a user's file: its size and mtime at that time
//   <dir>/locks/…                who brings which blob (object-cache.ts), who computes on a CPU that workers share
//   <dir>/incoming/HOST.PID.N    written aside; what a killed process leaves is removed by the next one that opens the folder
//
// A blob's mtime (of its .link file, if there is one) says when it was last used: beyond the size limit the least
// recently used go first, never one that this process has pinned. Another process may still need one that went: it
// reports blob_missing, and gets the blob again.
import { createHash, randomUUID } from 'node:crypto';
import { mkdir, open, readFile, rename, rm, stat, symlink, utimes, writeFile } from 'node:fs/promises';
import { hostname } from 'node:os';
import path from 'node:path';
import { EspalierError, namingFile, toEspalierError } from '../errors.ts';
import { removeDeadLocks } from '../exclusive/folder-lock.ts';
import { makeFolder } from '../make-folder.ts';
import { evictOldest, removeLeftovers } from './blob-eviction.ts';
import { readChunks } from './blob-source.ts';
import { checkDigest } from './digest.ts';

const LINK_SUFFIX = '.link';
/** Beyond that many, files are read once more. */
const MOST_CHECKED = 10_000;
/** A use that is as young as this is not noted again: tasks that follow each other name the same blobs, dozens each. */
const SAME_USE_MS = 10_000;

/** A file as it was when its use was noted. */
interface NotedUse {
  readonly ino: bigint;
  /** Of a linked file its record, which is checked by then. */
  readonly linked: string | null;
  readonly atMs: number;
}

/** A file whose content was right when it was like this. */
interface CheckedFile {
  readonly ino: bigint;
  readonly mtimeNs: bigint;
}

export class BlobStore {
  readonly #dir: string;
  readonly #limitBytes: number;
  readonly #pins = new Map<string, number>();
  /** Files whose content this process knows to be right, by their inodes: another process may have put another there. */
  readonly #checked = new Map<string, CheckedFile>();
  readonly #used = new Map<string, NotedUse>();
  #bytesAtScan = 0;
  #bytesSinceScan = 0;
  /** Of blobs that are being written. */
  #incomingBytes = 0;

  private constructor(dir: string, limitBytes: number) {
    this.#dir = dir;
    this.#limitBytes = limitBytes;
  }

  /** Opens the folder, made where it is missing. @throws EspalierError "output_unwritable", "disk_full". */
  static async open(dir: string, options: { limitBytes: number }): Promise<BlobStore> {
    const store = new BlobStore(path.resolve(dir), options.limitBytes);
    try {
      await makeFolder(store.#sha256Dir);
      await makeFolder(store.#incomingDir);
      await makeFolder(store.locksFolder);
      await removeLeftovers(store.#incomingDir);
      await removeDeadLocks(store.locksFolder);
      await store.#evict();
    } catch (caught) {
      const error = toEspalierError(caught);
      if ((caught as NodeJS.ErrnoException).syscall === undefined || error.code === 'disk_full') throw error;
      throw new EspalierError('output_unwritable', `${dir}: the cache folder cannot be used: ${error.message}`, {
        cause: caught,
        action: 'set XDG_CACHE_HOME, or --blob-dir of a worker, to a folder that can be written',
      });
    }
    return store;
  }

  /** For locks among the processes that share the folder. */
  get locksFolder(): string {
    return path.join(this.#dir, 'locks');
  }

  get limitBytes(): number {
    return this.#limitBytes;
  }

  /** As this process last saw the folder, with what it has put there since; other processes may have added more. */
  get knownBytes(): number {
    return this.#bytesAtScan + this.#bytesSinceScan;
  }

  /** Where the blob lies, or would. @throws EspalierError "protocol" for a name that is no digest. */
  path(digest: string): string {
    checkDigest(digest);
    return path.join(this.#sha256Dir, digest.slice(0, 2), digest.slice(2));
  }

  /** Whether the blob is here (with this size, where one is given); counts as a use of it. A linked file that was
   * written to since, or one of another size, is no longer the blob and is dropped. */
  async has(digest: string, sizeBytes?: number): Promise<boolean> {
    const file = this.path(digest);
    const found = await statOrNull(file);
    if (found === null) return false;
    const isSize = sizeBytes === undefined || found.size === BigInt(sizeBytes);
    if (isSize && isNoted(this.#used.get(digest), found)) return true;
    const linked = await readFile(file + LINK_SUFFIX, 'utf8').catch(() => null);
    const changed = linked !== null && linked !== linkRecord(found);
    if (changed || !isSize) {
      await this.#remove(file);
      return false;
    }
    const now = new Date();
    if (this.#used.size >= MOST_CHECKED) this.#used.clear();
    this.#used.set(digest, { ino: found.ino, linked, atMs: now.getTime() });
    // Only gone if another process evicts it at this moment.
    await utimes(linked === null ? file : file + LINK_SUFFIX, now, now).catch(() => {});
    if (linked === null) await this.#noteTouched(digest, found);
    return true;
  }

  /** Whether the blob's bytes are still those of its name, after `has`: a disk may have changed them. They are read once for
   * each file that this process did not write itself; a damaged one is removed. */
  async isWhole(digest: string): Promise<boolean> {
    const file = this.path(digest);
    const found = await statOrNull(file);
    if (found === null) return false;
    if (this.#checked.get(digest)?.ino === found.ino) return true;
    // A linked file was hashed when it was linked, and `has` has seen that nobody wrote to it since.
    const isLinked = (await statOrNull(file + LINK_SUFFIX)) !== null;
    if (!isLinked && (await digestOfFile(file)) !== digest) {
      await this.#remove(file);
      return false;
    }
    this.#noteChecked(digest, found);
    return true;
  }

  /** Whether a hard link to the blob's file holds its bytes. They are read once for each file that this process did not write itself,
   * and again after another has written to it or touched it. */
  async isCopy(link: string, digest: string): Promise<boolean> {
    const found = await stat(link, { bigint: true });
    if (isSame(this.#checked.get(digest), found)) return true;
    if ((await digestOfFile(link)) !== digest) return false;
    this.#noteChecked(digest, found);
    return true;
  }

  /** Which of these are not here. */
  async missing(digests: readonly string[]): Promise<string[]> {
    const present = await Promise.all(digests.map((digest) => this.has(digest)));
    return digests.filter((_, i) => !present[i]);
  }

  /** Takes a blob out of the folder; harmless when it is not there. */
  remove(digest: string): Promise<void> {
    return this.#remove(this.path(digest));
  }

  /** Evicts everything that this process has not pinned: for a disk that is full though the folder's limit is not reached. */
  async evictUnpinned(): Promise<void> {
    this.#bytesAtScan = await evictOldest(this.#sha256Dir, 0, (digest) => this.#pins.has(digest));
    this.#bytesSinceScan = 0;
  }

  /** Keeps these from being evicted by this process until the returned function is called. */
  pin(digests: readonly string[]): () => void {
    for (const digest of digests) this.#pins.set(digest, (this.#pins.get(digest) ?? 0) + 1);
    let released = false;
    return () => {
      if (released) return;
      released = true;
      for (const digest of digests) {
        const left = (this.#pins.get(digest) ?? 1) - 1;
        if (left > 0) this.#pins.set(digest, left);
        else this.#pins.delete(digest);
      }
    };
  }

  /** Stores one blob and returns its path. Nothing is visible, and nothing is left over, unless size and digest are right.
   * @throws EspalierError "blob_corrupt" when they are not, "limit_exceeded" for a blob larger than the store. */
  async put(digest: string, sizeBytes: number, chunks: AsyncIterable<Uint8Array>): Promise<string> {
    const target = this.path(digest);
    this.#checkSize(digest, sizeBytes);
    const aside = this.#asidePath();
    const written = await this.#makeRoom(sizeBytes);
    try {
      await writeChecked(aside, digest, sizeBytes, chunks);
      await mkdir(path.dirname(target), { recursive: true });
      await rm(target + LINK_SUFFIX, { force: true });
      await rename(aside, target);
    } catch (caught) {
      await rm(aside, { force: true });
      throw toEspalierError(namingFile(target, caught));
    } finally {
      written();
    }
    const stored = await statOrNull(target);
    if (stored !== null) this.#noteChecked(digest, stored);
    await this.#grew(digest, sizeBytes);
    return target;
  }

  /** Places a file of this machine, whose digest the caller has computed, by a symbolic link: no bytes are copied,
   * none are taken from the limit, and a file that its owner deletes is gone. Where links cannot be made it is copied and
   * checked. */
  async link(file: string, digest: string): Promise<string> {
    const target = this.path(digest);
    if (await this.has(digest)) return target;
    const aside = this.#asidePath();
    try {
      await mkdir(path.dirname(target), { recursive: true });
      await symlink(path.resolve(file), aside);
    } catch {
      const { size } = await stat(file);
      return this.put(digest, size, readChunks(file));
    }
    try {
      await writeFile(target + LINK_SUFFIX, linkRecord(await stat(file, { bigint: true })));
      await rename(aside, target);
    } catch (caught) {
      throw toEspalierError(caught);
    } finally {
      await rm(aside, { force: true });
    }
    return target;
  }

  get #sha256Dir(): string {
    return path.join(this.#dir, 'sha256');
  }

  get #incomingDir(): string {
    return path.join(this.#dir, 'incoming');
  }

  #asidePath(): string {
    return path.join(this.#incomingDir, `${hostname()}.${process.pid}.${randomUUID()}`);
  }

  #checkSize(digest: string, sizeBytes: number): void {
    if (!Number.isSafeInteger(sizeBytes) || sizeBytes < 0)
      throw new EspalierError('protocol', `${digest}: got a size of ${sizeBytes} bytes`);
    if (sizeBytes > this.#limitBytes)
      throw new EspalierError(
        'limit_exceeded',
        `${digest}: got ${sizeBytes} bytes, the store holds ${this.#limitBytes}`,
      );
  }

  #noteChecked(digest: string, { ino, mtimeNs }: CheckedFile): void {
    if (this.#checked.size >= MOST_CHECKED) this.#checked.clear();
    this.#checked.set(digest, { ino, mtimeNs });
  }

  /** What this process has touched itself is as it was before. */
  async #noteTouched(digest: string, before: CheckedFile): Promise<void> {
    if (!isSame(this.#checked.get(digest), before)) return;
    const after = await statOrNull(this.path(digest));
    if (after?.ino === before.ino) this.#noteChecked(digest, after);
  }

  async #remove(file: string): Promise<void> {
    await rm(file, { force: true });
    await rm(file + LINK_SUFFIX, { force: true });
  }

  /** Evicts so that this much more fits, but for what is pinned. The returned function says that the writing has ended. */
  async #makeRoom(sizeBytes: number): Promise<() => void> {
    this.#incomingBytes += sizeBytes;
    if (this.#bytesAtScan + this.#bytesSinceScan + this.#incomingBytes > this.#limitBytes) await this.#evict();
    return () => {
      this.#incomingBytes -= sizeBytes;
    };
  }

  async #grew(digest: string, sizeBytes: number): Promise<void> {
    this.#bytesSinceScan += sizeBytes;
    // Other processes add to the folder too, unseen until the next look at it.
    const due = this.#bytesSinceScan > this.#limitBytes / 16;
    if (!due && this.#bytesAtScan + this.#bytesSinceScan <= this.#limitBytes) return;
    const release = this.pin([digest]);
    await this.#evict().finally(release);
  }

  async #evict(): Promise<void> {
    const isPinned = (digest: string) => this.#pins.has(digest);
    this.#bytesAtScan = await evictOldest(this.#sha256Dir, this.#limitBytes - this.#incomingBytes, isPinned);
    this.#bytesSinceScan = 0;
  }
}

function isSame(checked: CheckedFile | undefined, { ino, mtimeNs }: CheckedFile): boolean {
  return checked !== undefined && checked.ino === ino && checked.mtimeNs === mtimeNs;
}

function isNoted(use: NotedUse | undefined, found: { ino: bigint; size: bigint; mtimeNs: bigint }): boolean {
  if (use === undefined || use.ino !== found.ino || Date.now() - use.atMs >= SAME_USE_MS) return false;
  return use.linked === null || use.linked === linkRecord(found);
}

function linkRecord({ size, mtimeNs }: { size: bigint; mtimeNs: bigint }): string {
  return `${size} ${mtimeNs}`;
}

async function statOrNull(file: string) {
  return stat(file, { bigint: true }).catch(() => null);
}

async function digestOfFile(file: string): Promise<string | null> {
  const hash = createHash('sha256');
  try {
    for await (const chunk of readChunks(file)) hash.update(chunk);
  } catch {
    // Evicted by another process at this moment, or unreadable.
    return null;
  }
  return hash.digest('hex');
}

async function writeChecked(
  file: string,
  digest: string,
  sizeBytes: number,
  chunks: AsyncIterable<Uint8Array>,
): Promise<void> {
  const hash = createHash('sha256');
  let writtenBytes = 0;
  const handle = await open(file, 'wx');
  try {
    for await (const chunk of chunks) {
      writtenBytes += chunk.byteLength;
      if (writtenBytes > sizeBytes)
        throw new EspalierError('blob_corrupt', `${digest}: got more than the announced ${sizeBytes} bytes`);
      hash.update(chunk);
      await handle.writeFile(chunk);
    }
    // Else a power failure could leave a blob under its name without its content.
    await handle.datasync();
  } finally {
    await handle.close();
  }
  if (writtenBytes !== sizeBytes)
    throw new EspalierError('blob_corrupt', `${digest}: got ${writtenBytes} bytes, expected ${sizeBytes}`);
  const got = hash.digest('hex');
  if (got !== digest) throw new EspalierError('blob_corrupt', `${digest}: got content with digest ${got}`);
}
