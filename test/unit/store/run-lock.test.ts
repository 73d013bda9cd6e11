import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { afterEach, beforeEach, describe, it } from 'node:test';
import { acquireRunLock } from '../../../coordinator/store/run-lock.ts';
import { identityOf, livenessOf } from '../../../shared/process-identity.ts';

describe('run lock', () => {
  let folder = '';
  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), 'espalier-lock-'));
  });
  afterEach(() => rmSync(folder, { recursive: true, force: true }));

  function lockFile(changes: Partial<ReturnType<typeof identityOf>>): string {
    const { bootId, pidNamespace, pid, startTicks } = { ...identityOf(), ...changes };
    return `.out.espalier.lock-${bootId}-${pidNamespace}-${pid}-${startTicks}`;
  }

  it('is held by one run and free after its release', async () => {
    const lock = await acquireRunLock(folder, 'out');
    await assert.rejects(acquireRunLock(folder, 'out'), {
      code: 'output_locked',
      message: `${folder}/out: another run writes it, process ${process.pid}`,
    });
    await (await acquireRunLock(folder, 'other')).release();
    await lock.release();
    await lock.release();
    assert.deepEqual(readdirSync(folder), []);
    await (await acquireRunLock(folder, 'out')).release();
  });

  it('is refused while another process lives, and that process is named', async () => {
    const sleeper = spawn(process.execPath, ['-e', 'process.stdin.resume()'], { stdio: ['pipe', 'ignore', 'ignore'] });
    await once(sleeper, 'spawn');
    writeFileSync(join(folder, lockFile(identityOf(sleeper.pid))), '');
    const error = { code: 'output_locked', message: `${folder}/out: another run writes it, process ${sleeper.pid}` };
    await assert.rejects(acquireRunLock(folder, 'out'), error);
    assert.equal(readdirSync(folder).length, 1, 'only its own file is withdrawn');
    sleeper.kill('SIGKILL');
    await once(sleeper, 'exit');
    await (await acquireRunLock(folder, 'out')).release();
    assert.deepEqual(readdirSync(folder), []);
  });

  it('is taken over from a process id that another process has now, and from another boot', async () => {
    writeFileSync(join(folder, lockFile({ startTicks: '1' })), '');
    writeFileSync(join(folder, lockFile({ bootId: 'abc' })), '');
    await (await acquireRunLock(folder, 'out')).release();
    assert.deepEqual(readdirSync(folder), []);
  });

  it('is refused when it belongs to another container, and the file to remove is named', async () => {
    const name = lockFile({ pidNamespace: '1' });
    writeFileSync(join(folder, name), '');
    await assert.rejects(acquireRunLock(folder, 'out'), {
      code: 'output_locked',
      action: `wait for it, or remove ${join(folder, name)} if that run is gone`,
    });
  });

  it('counts a process that has ended and was not waited for as dead', async () => {
    assert.equal(livenessOf(identityOf()), 'live');
    // The shell's child ends; the shell, replaced by sleep, never waits for it.
    const parent = spawn('sh', ['-c', 'true & echo $!; exec sleep 60'], { stdio: ['ignore', 'pipe', 'ignore'] });
    const [printed] = (await once(parent.stdout, 'data')) as [Buffer];
    const pid = Number(printed.toString());
    const deadline = Date.now() + 10_000;
    while (livenessOf(identityOf(pid)) !== 'dead') assert.ok(Date.now() < deadline, 'the child does not end');
    parent.kill('SIGKILL');
    await once(parent, 'exit');
  });

  it('is never held twice when many processes come at once, over locks of dead ones', async () => {
    writeFileSync(join(folder, lockFile({ startTicks: '1' })), '');
    const child = new URL('./lock-child.js', import.meta.url).pathname;
    const outcomes = await Promise.all(
      Array.from({ length: 6 }, async () => {
        const { stdout } = spawn(process.execPath, [child, folder], { stdio: ['ignore', 'pipe', 'inherit'] });
        return (await text(stdout)).trim().split('\n');
      }),
    );
    const all = outcomes.flat();
    assert.equal(all.length, 60);
    // A second holder would fail to make the witness file, which is "internal".
    assert.deepEqual(
      all.filter((outcome) => outcome !== 'held' && outcome !== 'output_locked'),
      [],
    );
    assert.ok(all.includes('held'));
    assert.deepEqual(readdirSync(folder), []);
  });
});
