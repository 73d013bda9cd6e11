// Volumes: folders that the operator has given names to, and the way from a job's words to a file in one. A segment of a
// path is only ever compared with the entries that a folder has, and what is found must lie within the volume, wherever
// links lead.
import { readdir, realpath, stat } from 'node:fs/promises';
import path from 'node:path';
import { EspalierError } from '../../shared/errors.ts';
import { dataFileName, type FileKind, isFileName, MOST_FILES } from './file-names.ts';
import type { FileSource } from './job-record.ts';

export type VolumeSource = Extract<FileSource, { kind: 'volume' }>;

/** Longest that a path in a volume may be. */
const MOST_SEGMENTS = 32;
const MOST_SEGMENT_BYTES = 255;

/** A file of a volume: the name under which jobs know it, and where it lies, without links. */
export interface VolumeFile {
  readonly name: string;
  readonly path: string;
}

/** What messages and reports call it: as the campaign says. */
export function volumeLabel({ volume, path: segments }: VolumeSource): string {
  return [volume, ...segments].join('/');
}

/** The files of a model folder that are on the list of names, or the one data file.
 * @throws EspalierError "campaign_format" for a path that cannot be one, "model_not_found" or "data_not_found". */
export async function volumeFiles(
  volumes: ReadonlyMap<string, string>,
  source: VolumeSource,
  kind: FileKind,
): Promise<VolumeFile[]> {
  const { root, found } = await findInVolume(volumes, source, kind);
  const label = volumeLabel(source);
  const isFolder = (await stat(found)).isDirectory();
  if (kind === 'data') {
    if (isFolder) throw new EspalierError('data_not_found', `${label}: got a folder, expected a file`);
    return [{ name: dataFileName(source.path.at(-1) ?? ''), path: found }];
  }
  if (!isFolder) throw new EspalierError('model_not_found', `${label}: got a file, expected a folder`);
  const names = (await readdir(found)).filter((name) => isFileName('model', name)).sort();
  if (names.length > MOST_FILES)
    throw new EspalierError('campaign_format', `${label}: got ${names.length} files, expected at most ${MOST_FILES}`);
  const files: VolumeFile[] = [];
  for (const name of names) {
    const real = await realWithin(root, path.join(found, name), `${label}/${name}`, kind);
    if ((await stat(real)).isFile()) files.push({ name, path: real });
  }
  return files;
}

async function findInVolume(
  volumes: ReadonlyMap<string, string>,
  source: VolumeSource,
  kind: FileKind,
): Promise<{ root: string; found: string }> {
  const { volume, path: segments } = source;
  const folder = volumes.get(volume);
  if (folder === undefined) {
    const known = [...volumes.keys()].sort().join(', ');
    throw new EspalierError(
      'campaign_format',
      `volume: got ${shown(volume)}, expected one of: ${known || 'none, the coordinator has no volumes'}`,
    );
  }
  if (segments.length > MOST_SEGMENTS || (kind === 'data' && segments.length === 0))
    throw new EspalierError(
      'campaign_format',
      `${volume}: got a path of ${segments.length} parts, expected ${kind === 'data' ? 1 : 0} to ${MOST_SEGMENTS}`,
    );
  segments.forEach((segment) => {
    checkSegment(volume, segment);
  });
  const root = await realpath(folder).catch((cause: Error) => {
    throw new EspalierError('output_unwritable', `volume ${volume}: ${cause.message}`, {
      cause,
      action: 'mount the volume on every coordinator',
    });
  });
  let found = root;
  for (const [i, segment] of segments.entries()) {
    const label = [volume, ...segments.slice(0, i + 1)].join('/');
    const entries = await readdir(found).catch(() => []);
    const entry = entries.find((name) => name === segment);
    if (entry === undefined) throw notFound(kind, label);
    found = await realWithin(root, path.join(found, entry), label, kind);
  }
  return { root, found };
}

async function realWithin(root: string, file: string, label: string, kind: FileKind): Promise<string> {
  const real = await realpath(file).catch(() => {
    throw notFound(kind, label);
  });
  if (real === root || real.startsWith(root.endsWith(path.sep) ? root : root + path.sep)) return real;
  throw new EspalierError('campaign_format', `${label}: got a link that leads out of the volume`);
}

function checkSegment(volume: string, segment: string): void {
  const isName =
    typeof segment === 'string' &&
    segment !== '' &&
    segment !== '.' &&
    segment !== '..' &&
    !/[/\\\0]/.test(segment) &&
    Buffer.byteLength(segment) <= MOST_SEGMENT_BYTES;
  if (isName) return;
  throw new EspalierError(
    'campaign_format',
    `${volume}: got ${shown(segment)} in a path, expected the name of a file or folder`,
  );
}

function shown(text: unknown): string {
  return JSON.stringify(String(text).slice(0, 80));
}

function notFound(kind: FileKind, label: string): EspalierError {
  return new EspalierError(kind === 'model' ? 'model_not_found' : 'data_not_found', `${label}: not found`);
}
