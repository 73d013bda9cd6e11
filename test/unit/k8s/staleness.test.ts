// A rendered file that is not what its sources make is found, without any tool.
import assert from 'node:assert/strict';
import { appendFileSync, cpSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, describe, it } from 'node:test';
import { projectRoot } from '../../../shared/project-root.ts';
import { staleness } from '../../support/kubernetes/objects.ts';

describe('that a rendered file is not current is seen', () => {
  let root = '';
  const at = (...names: string[]) => path.join(root, 'k8s', ...names);
  beforeEach(() => {
    root = mkdtempSync(path.join(tmpdir(), 'espalier-k8s-'));
    cpSync(path.join(projectRoot(), 'k8s'), at(), { recursive: true });
    assert.equal(staleness('gpu', root), null);
  });
  afterEach(() => rmSync(root, { recursive: true }));

  const changes: readonly (readonly [string, () => void])[] = [
    ['a source of the base', () => appendFileSync(at('base/worker.env'), 'ESPALIER_QUEUE=8\n')],
    ['a source of a component', () => appendFileSync(at('components/keda/scaled-object.yaml'), '# more\n')],
    ['a new file', () => writeFileSync(at('overlays/gpu/more.yaml'), '')],
    ['no file', () => rmSync(at('rendered/gpu.yaml'))],
    ['an edit', () => appendFileSync(at('rendered/gpu.yaml'), '# more\n')],
  ];
  for (const [name, change] of changes)
    it(name, () => {
      change();
      assert.match(staleness('gpu', root)!, /^k8s\/rendered\/gpu.yaml: (missing|not what)/);
      assert.equal(staleness('dev', root) === null, name !== 'a source of the base');
    });
});
