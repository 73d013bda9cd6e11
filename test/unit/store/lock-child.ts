// Run by run-lock.test: takes the lock and, while holding it, makes a file that only one process at a time can make.
import { closeSync, openSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { acquireRunLock } from '../../../coordinator/store/run-lock.ts';
import { toEspalierError } from '../../../shared/errors.ts';

const [folder] = process.argv.slice(2);
const witness = join(folder, 'witness');
const outcomes: string[] = [];
for (let round = 0; round < 10; round++) {
  try {
    const lock = await acquireRunLock(folder, 'out');
    closeSync(openSync(witness, 'wx'));
    await sleep(2);
    rmSync(witness);
    await lock.release();
    outcomes.push('held');
  } catch (caught) {
    outcomes.push(toEspalierError(caught).code);
  }
}
process.stdout.write(`${outcomes.join('\n')}\n`);
