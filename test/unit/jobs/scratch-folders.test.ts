// Folders of jobs that run: what a killed coordinator left goes, what a living one uses stays.
import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, readdirSync, rmSync, statSync, utimesSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { test } from 'node:test';
import { ScratchFolders } from '../../../coordinator/jobs/scratch-folders.ts';
import { formatIdentity, identityOf } from '../../../shared/process-identity.ts';
import { until } from '../../support/until.ts';

const HOUR_MS = 3_600_000;

test('what no living process owns goes, at the start and while it runs', async (t) => {
  const root = mkdtempSync(path.join(tmpdir(), 'espalier-scratch-'));
  t.after(() => rmSync(root, { recursive: true }));
  const self = identityOf();
  const here = (name: string) => path.join(root, name);
  const folder = (name: string, ageMs: number) => {
    mkdirSync(here(name));
    writeFileSync(path.join(here(name), 'rows'), 'x');
    const touched = new Date(Date.now() - ageMs);
    utimesSync(here(name), touched, touched);
    return name;
  };
  // The first process of a container has the same number each time that the container is started.
  const dead = folder(formatIdentity({ ...self, startTicks: '1' }), 0);
  const elsewhere = { ...self, pidNamespace: `${Number(self.pidNamespace) + 1}` };
  const silent = folder(formatIdentity({ ...elsewhere, pid: 1 }), HOUR_MS + 60_000);
  const working = folder(formatIdentity({ ...elsewhere, pid: 2 }), HOUR_MS - 60_000);
  const foreign = folder('notes', 2 * HOUR_MS);

  const scratch = await ScratchFolders.open(root, { lookMs: 5 });
  const own = formatIdentity(self);
  assert.deepEqual(readdirSync(root).sort(), [own, working, foreign].sort(), `without ${dead} and ${silent}`);
  // Long ago: its own is touched again while others are looked at.
  utimesSync(here(own), new Date(0), new Date(0));
  utimesSync(here(working), new Date(0), new Date(0));
  await until('the other is gone', () => !readdirSync(root).includes(working));
  assert.ok(Date.now() - statSync(here(own)).mtimeMs < 60_000);
  await scratch.close();
  assert.deepEqual(readdirSync(root), [foreign]);
});
