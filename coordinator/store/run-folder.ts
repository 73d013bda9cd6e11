// The run folder of a local job: its lock, what its stages have stored, and the output until it is whole. It lies beside
// the output, so that the output appears by one rename. States: open (from openRunFolder), then committed (the output is
// in place, no state is left), abandoned (no state is left) or closed (the state waits for --resume).
import { mkdir, realpath, rm } from 'node:fs/promises';
import { basename, dirname, join, resolve } from 'node:path';
import { EspalierError, toEspalierError } from '../../shared/errors.ts';
import { makeFolder } from '../../shared/make-folder.ts';
import { fingerprintDifferences } from './fingerprint.ts';
import { requireFreeSpace } from './free-space.ts';
import { commitOutput, isThere, type OutputPaths, outputPaths, recoverOutput, removeState } from './output-commit.ts';
import { acquireRunLock, type RunLock } from './run-lock.ts';
import type { JobHome } from './stage-store.ts';
import { StateFiles } from './state-files.ts';

export interface RunFolderOptions {
  /** Folder that the job writes; its parent is made when missing. */
  readonly out: string;
  /** Replace an output that is there. */
  readonly force: boolean;
  /** Go on from the state of an earlier run instead of removing it. */
  readonly resume: boolean;
  /** All that the stored stages depend on: settings and digests. */
  readonly fingerprint: object;
  /** Told what stops nothing: damaged state, an earlier commit that was undone. */
  readonly onNotice?: (text: string) => void;
  /** Called before each step of the commit; for crash tests. */
  readonly onStep?: (step: string) => void;
}

/** Takes the lock of an output folder and opens the state of its run.
 * @throws EspalierError "output_locked", "output_exists", "output_unwritable", "resume_mismatch". */
export async function openRunFolder(options: RunFolderOptions): Promise<RunFolder> {
  const paths = await writable(options.out, () => prepareParent(options.out));
  const lock = await writable(paths.out, () => acquireRunLock(dirname(paths.out), basename(paths.out)));
  try {
    await writable(paths.out, () => prepareState(paths, options));
    return new RunFolder(paths, lock, options);
  } catch (caught) {
    await lock.release();
    throw caught;
  }
}

/** True when a run of this output folder left state that --resume can go on from. */
export async function hasRunState(out: string): Promise<boolean> {
  const absolute = resolve(out);
  return isThere(join(outputPaths(absolute, basename(absolute)).state, 'run.json'));
}

export class RunFolder implements JobHome {
  readonly #paths: OutputPaths;
  readonly #lock: RunLock;
  readonly #options: RunFolderOptions;
  readonly #files: StateFiles;

  constructor(paths: OutputPaths, lock: RunLock, options: RunFolderOptions) {
    this.#paths = paths;
    this.#lock = lock;
    this.#options = options;
    this.#files = new StateFiles(join(paths.state, 'stages'), options.onNotice ?? (() => {}));
    this.has = this.#files.has.bind(this.#files);
    this.readJson = this.#files.readJson.bind(this.#files);
    this.writeJson = this.#files.writeJson.bind(this.#files);
    this.readTensors = this.#files.readTensors.bind(this.#files);
    this.writeTensors = this.#files.writeTensors.bind(this.#files);
    this.readTensorFile = this.#files.readTensorFile.bind(this.#files);
    this.writeTensorFile = this.#files.writeTensorFile.bind(this.#files);
  }

  /** See StateFiles. */
  readonly has: StateFiles['has'];
  readonly readJson: StateFiles['readJson'];
  readonly writeJson: StateFiles['writeJson'];
  readonly readTensors: StateFiles['readTensors'];
  readonly writeTensors: StateFiles['writeTensors'];
  readonly readTensorFile: StateFiles['readTensorFile'];
  readonly writeTensorFile: StateFiles['writeTensorFile'];

  /** The output folder, absolute. */
  get out(): string {
    return this.#paths.out;
  }

  /** Where `file` is to be written that becomes `<out>/<file>`. */
  staged(file: string): string {
    return join(this.#paths.staging, file);
  }

  /** Folder, made when missing, whose content becomes `<out>/<budget>`. Empty at the start of every run, resumed or not:
   * outputs are written again, only stages are taken from the state. */
  async staging(budget: string): Promise<string> {
    const folder = join(this.#paths.staging, budget);
    await mkdir(folder, { recursive: true });
    return folder;
  }

  async scratch(): Promise<string> {
    const folder = scratchIn(this.#paths.state);
    await mkdir(folder, { recursive: true });
    return folder;
  }

  /** @throws EspalierError "disk_full" when fewer than `bytes` are free where the output goes. */
  async requireSpace(bytes: number): Promise<void> {
    await requireFreeSpace(this.#paths.state, bytes, this.#paths.out);
  }

  /** Puts the staged output in its place, removes the state and releases the lock.
   * @throws EspalierError "output_exists"; after any error the earlier output is in its place and the state is kept. */
  async commit(): Promise<void> {
    const { force, onStep } = this.#options;
    try {
      await writable(this.#paths.out, () => commitOutput(this.#paths, force, onStep));
    } catch (caught) {
      await recoverOutput(this.#paths);
      throw caught;
    }
    await this.close();
  }

  /** Removes the state and releases the lock; the output folder stays as it was. */
  async abandon(): Promise<void> {
    await recoverOutput(this.#paths);
    await removeState(this.#paths);
    await this.close();
  }

  /** Releases the lock and keeps the state, if any, for --resume. Harmless after commit, abandon or close. */
  async close(): Promise<void> {
    await this.#lock.release();
  }
}

function scratchIn(state: string): string {
  return join(state, 'scratch');
}

async function prepareParent(out: string): Promise<OutputPaths> {
  const absolute = resolve(out);
  await makeFolder(dirname(absolute));
  // One folder has one lock, by whatever links it is reached.
  const parent = await realpath(dirname(absolute));
  return outputPaths(join(parent, basename(absolute)), basename(absolute));
}

async function prepareState(paths: OutputPaths, options: RunFolderOptions): Promise<void> {
  const hadFinished = await recoverOutput(paths);
  if (!options.force && (await isThere(paths.out))) {
    const whole = hadFinished ? '; the earlier run had finished and it is whole' : '';
    throw new EspalierError('output_exists', `${paths.out}: already exists${whole}`);
  }
  const run = new StateFiles(paths.state, () => {});
  if (options.resume) {
    checkResumable(paths.out, await run.readJson<object>('run'), options.fingerprint);
    await rm(paths.staging, { recursive: true, force: true });
    await rm(scratchIn(paths.state), { recursive: true, force: true });
  } else {
    await rm(paths.state, { recursive: true, force: true });
    await mkdir(paths.state);
    await run.writeJson('run', options.fingerprint);
  }
  await mkdir(paths.staging);
}

function checkResumable(out: string, stored: object | null, fingerprint: object): void {
  if (stored === null) {
    const message = `${out}: no earlier run that this version can resume`;
    throw new EspalierError('resume_mismatch', message, { action: 'run again without --resume' });
  }
  const differences = fingerprintDifferences(stored, fingerprint);
  if (differences.length > 0)
    throw new EspalierError('resume_mismatch', `${out}: the earlier run differs: ${differences.join(', ')}`);
}

/** Runs file operations on the output's surroundings; what the system refuses is "output_unwritable". */
async function writable<Value>(out: string, operation: () => Promise<Value>): Promise<Value> {
  try {
    return await operation();
  } catch (caught) {
    const error = toEspalierError(caught);
    if (error.code !== 'internal' || (caught as NodeJS.ErrnoException).syscall === undefined) throw error;
    throw new EspalierError('output_unwritable', `${out}: ${error.message}`, { cause: caught });
  }
}
