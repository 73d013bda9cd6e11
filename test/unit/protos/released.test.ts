// Nothing that was released of the public protocol goes away or changes: older clients speak to newer coordinators.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { describe, it } from 'node:test';
import { projectRoot } from '../../../shared/project-root.ts';
import { describeProtocol, type ProtocolDescription } from '../../support/describe-protocol.ts';

const RELEASED = 'protos/released/espalier.v1.json';

/** What of `released` is not so any more in `now`; what is new is no change. */
function changes(released: ProtocolDescription, now: ProtocolDescription): string[] {
  return Object.entries(released).flatMap(([name, was]) =>
    now[name] === was ? [] : [`${name}: was ${was}, is ${now[name] ?? 'gone'}`],
  );
}

describe('the protocol', () => {
  const now = describeProtocol();

  it('still has all that was released', () => {
    const released = JSON.parse(readFileSync(path.join(projectRoot(), RELEASED), 'utf8')) as ProtocolDescription;
    assert.ok(Object.keys(released).length > 100, 'a release');
    assert.deepEqual(changes(released, now), []);
  });

  it('is described in all that older programs depend on', () => {
    assert.equal(now['espalier.v1.SubmitRequest.clientKey'], '1 string');
    assert.equal(now['espalier.v1.UploadedInput.files'], '2 repeated FileRef');
    assert.equal(now['espalier.v1.Blobs.Put'], 'PutRequest stream → PutResponse');
    assert.equal(now['espalier.v1.Jobs.Watch'], 'WatchRequest → JobEvent stream');
  });

  it('is compared so that a change is seen, and an addition is none', () => {
    const { 'espalier.v1.Jobs.Get': _, ...without } = now;
    assert.deepEqual(changes(now, without), ['espalier.v1.Jobs.Get: was GetJobRequest → Job, is gone']);
    const renumbered = { ...now, 'espalier.v1.FileRef.digest': '4 string' };
    assert.deepEqual(changes(now, renumbered), ['espalier.v1.FileRef.digest: was 2 string, is 4 string']);
    assert.deepEqual(changes(without, now), []);
  });

  for (const [folder, script] of [
    ['shared/rpc/generated', 'shared/rpc/generate-types.sh'],
    ['checkpoint/onnx/generated', 'checkpoint/onnx/generate-types.sh'],
  ])
    it(`is what the types in ${folder} were made from`, () => {
      const temporary = mkdtempSync(path.join(tmpdir(), 'espalier-types-'));
      try {
        const out = path.join(temporary, 'generated');
        execFileSync('sh', [script, out], { cwd: projectRoot(), stdio: 'pipe' });
        const checkedIn = path.join(projectRoot(), folder);
        const files = (place: string) =>
          readdirSync(place, { recursive: true, encoding: 'utf8' }).filter((name) => name.endsWith('.ts'));
        assert.deepEqual(files(checkedIn).sort(), files(out).sort());
        for (const name of files(out))
          assert.equal(
            readFileSync(path.join(checkedIn, name), 'utf8'),
            readFileSync(path.join(out, name), 'utf8'),
            name,
          );
      } finally {
        rmSync(temporary, { recursive: true });
      }
    });
});
