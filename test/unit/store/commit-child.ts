// Run by run-folder.test: writes an output and is killed before the step that it is told.
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { openRunFolder } from '../../../coordinator/store/run-folder.ts';

const [out, force, killedBefore] = process.argv.slice(2);
const folder = await openRunFolder({
  out,
  force: force === 'force',
  resume: false,
  fingerprint: { seed: 1 },
  onStep(step) {
    process.stdout.write(`${step}\n`);
    if (step === killedBefore) process.kill(process.pid, 'SIGKILL');
  },
});
await folder.writeJson('fisher', { rows: 3 });
for (const budget of ['0.5', '0.6']) writeFileSync(join(await folder.staging(budget), 'model'), 'new');
await folder.commit();
