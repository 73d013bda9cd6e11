// `npm run test:rules`: promtool on the rules and on their tests.
import { join } from 'node:path';
import { projectRoot } from '../../shared/project-root.ts';
import { findPromtool, promtoolMissing, runPromtool } from './promtool.ts';
import { RULES_FILE } from './rule-file.ts';

const promtool = findPromtool();
if (promtool === null) {
  console.error(`test:rules: ${promtoolMissing()}`);
  process.exitCode = 1;
} else {
  const root = projectRoot();
  const runs = [
    ['check', 'rules', join(root, RULES_FILE)],
    ['test', 'rules', join(root, 'deploy/prometheus/rules.test.yaml')],
  ];
  for (const args of runs) {
    const { status, stdout, stderr, error } = runPromtool(promtool, args);
    process.stdout.write(stdout ?? '');
    process.stderr.write(error ? `${promtool}: ${error.message}\n` : stderr);
    if (status !== 0) process.exitCode = 1;
  }
}
