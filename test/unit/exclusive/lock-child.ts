// Run by folder-lock.test: takes the lock again and again and, while holding it alone, makes a file that only one process
// at a time can make; or, told "hold", takes it once, says so, and keeps it until it is killed.
import { closeSync, openSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { acquireFolderLock, type LockMode } from '../../../shared/exclusive/folder-lock.ts';

const [folder, work] = process.argv.slice(2);
const witnesses = join(folder, 'witnesses');

if (work === 'hold') {
  await acquireFolderLock({ folder, name: 'x', mode: 'exclusive' });
  process.stdout.write('held\n');
  setInterval(() => {}, 60_000);
} else {
  for (let round = 0; round < 12; round++) {
    const mode: LockMode = round % 3 === 0 ? 'exclusive' : 'shared';
    const release = await acquireFolderLock({ folder, name: 'x', mode });
    const own = join(witnesses, `${mode}-${process.pid}`);
    closeSync(openSync(own, 'wx'));
    await sleep(2);
    const seen = readdirSync(witnesses);
    const wrong = mode === 'exclusive' ? seen.length > 1 : seen.some((name) => name.startsWith('exclusive'));
    if (wrong) writeFileSync(join(folder, `wrong-${process.pid}-${round}`), seen.join());
    rmSync(own);
    await release?.();
  }
}
