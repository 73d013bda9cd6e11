// Which modules a program of Node loads: asked of Node itself, in a child process.
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { projectRoot } from '../../shared/project-root.ts';

export interface LoadedModules {
  /** Files of this project, from its root on, without those of dist/ before it. */
  readonly files: readonly string[];
  /** Names of packages, each once. */
  readonly packages: readonly string[];
}

const HOOK = `
import { appendFileSync } from 'node:fs';
export async function load(url, context, next) {
  appendFileSync(process.env.ESPALIER_TEST_LOADED, url + '\\n');
  return next(url, context);
}`;
const asUrl = (code: string) => `data:text/javascript,${encodeURIComponent(code)}`;

/** Runs `node ...words` to its end. What CommonJS loads by itself is not seen, but the package that does so is. */
export function loadedModules(words: readonly string[]): LoadedModules {
  const folder = mkdtempSync(join(tmpdir(), 'espalier-loaded-'));
  const list = join(folder, 'urls');
  try {
    const register = `import { register } from 'node:module'; register(${JSON.stringify(asUrl(HOOK))});`;
    const { error } = spawnSync(process.execPath, ['--import', asUrl(register), ...words], {
      cwd: projectRoot(),
      env: { ...process.env, ESPALIER_TEST_LOADED: list },
    });
    if (error !== undefined) throw error;
    const urls = readFileSync(list, 'utf8').trim().split('\n');
    const root = pathToFileURL(`${projectRoot()}/`).href;
    const own = urls.filter((url) => url.startsWith(root) && !url.includes('/node_modules/'));
    const packages = urls.flatMap((url) => /\/node_modules\/((?:@[^/]+\/)?[^/]+)\//.exec(url)?.[1] ?? []);
    return {
      files: own.map((url) => url.slice(root.length).replace(/^dist\//, '')),
      packages: [...new Set(packages)].sort(),
    };
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

/** Loads one compiled module of this project and nothing else. @param module path below dist/. */
export function loadedBy(module: string): LoadedModules {
  const url = pathToFileURL(join(projectRoot(), 'dist', module)).href;
  return loadedModules(['--input-type=module', '-e', `await import(${JSON.stringify(url)}); process.exit();`]);
}
