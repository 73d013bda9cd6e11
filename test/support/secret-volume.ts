// Certificates as Kubernetes mounts a Secret: each file is a link to `..data/<file>`, and `..data` a link to a folder with a
// date, which is replaced in one step when the Secret changes.
import { copyFileSync, mkdirSync, mkdtempSync, renameSync, rmSync, symlinkSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import type { TlsFiles } from '../../shared/rpc/tls-files.ts';

const NAMES = ['ca.crt', 'tls.crt', 'tls.key'] as const;

export class SecretVolume {
  readonly folder = mkdtempSync(path.join(tmpdir(), 'espalier-secret-'));
  readonly files: TlsFiles;
  #version = 0;

  constructor(files: TlsFiles) {
    const [ca, certificate, key] = NAMES.map((name) => path.join(this.folder, name));
    this.files = { ca: ca!, certificate: certificate!, key: key! };
    this.replace(files);
    for (const name of NAMES) symlinkSync(path.join('..data', name), path.join(this.folder, name));
  }

  /** The Secret has changed. */
  replace({ ca, certificate, key }: TlsFiles): void {
    const at = (name: string) => path.join(this.folder, name);
    const before = `..version_${this.#version}`;
    this.#version += 1;
    const folder = `..version_${this.#version}`;
    mkdirSync(at(folder));
    for (const [i, file] of [ca, certificate, key].entries()) copyFileSync(file, path.join(at(folder), NAMES[i]!));
    symlinkSync(folder, at('..data_tmp'));
    renameSync(at('..data_tmp'), at('..data'));
    rmSync(at(before), { recursive: true, force: true });
  }

  remove(): void {
    rmSync(this.folder, { recursive: true });
  }
}
