// The table of what the gradual method alone reads, beside everything that repeats it: the schema of campaigns and the
// documents. And what of it reaches a request and the key of a run's state: what is not as by default.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import path from 'node:path';
import test from 'node:test';
import { SCHEMA_FILE } from '../../../coordinator/campaign/check-schema.ts';
import { expandCampaign } from '../../../coordinator/campaign/expand-campaign.ts';
import {
  GRADUAL_SETTINGS,
  gradualChanges,
  gradualProblems,
  gradualSettings,
  gradualWords,
  readGradual,
} from '../../../coordinator/gradual-settings.ts';
import { projectRoot } from '../../../shared/project-root.ts';

const read = (file: string) => readFileSync(path.join(projectRoot(), file), 'utf8');
const rows = Object.values(GRADUAL_SETTINGS);

test('campaign.schema.json has the values and the default of each', () => {
  const { properties } = JSON.parse(read(SCHEMA_FILE)).$defs.settings;
  for (const { flag, values } of rows)
    assert.deepEqual([properties[flag]?.enum, properties[flag]?.default], [values, values[0]], flag);
});

test('the documents have a row of each, with its values and its default', () => {
  for (const [file, name] of [
    ['docs/cli.md', (flag: string) => `--${flag} KIND`],
    ['docs/campaign.md', (flag: string) => flag],
    ['docs/method.md', (flag: string) => `--${flag}`],
  ] as const) {
    const lines = read(file).split('\n');
    for (const { flag, values } of rows) {
      const row = lines.find((line) => line.startsWith(`| \`${name(flag)}\` |`));
      assert.ok(row, `${file}: no row of ${flag}`);
      for (const value of values) assert.ok(row.includes(`\`${value}\``), `${file}: ${flag}: no ${value}`);
      assert.ok(
        row.split(' | ').some((cell) => cell.replace(/ \|$/, '') === `\`${values[0]}\``),
        `${file}: ${flag}`,
      );
    }
  }
});

test('a request has what is not as by default, in the order of the table', () => {
  const given: Record<string, string> = { 'position-weights': 'equal', 'gradual-steps': 'one' };
  const all = readGradual((flag) => given[flag]);
  assert.deepEqual(all, { steps: 'one', positionWeights: 'equal' });
  assert.equal(JSON.stringify(gradualChanges(all)), '{"gradual":{"steps":"one","positionWeights":"equal"}}');
  assert.deepEqual(gradualChanges({ ...all, steps: 'grid' }), { gradual: { positionWeights: 'equal' } });
  assert.deepEqual(gradualChanges({ steps: 'grid' }), {});
  assert.deepEqual(gradualSettings({ steps: 'one' }), { ...gradualSettings(undefined), steps: 'one' });
  assert.deepEqual(gradualWords({ positionWeights: 'equal' }), [['position-weights', 'equal']]);
  assert.deepEqual(gradualProblems(gradualSettings(undefined)), []);
});

test('a campaign says them as the command line does', () => {
  const settings = { model: 'm', data: 'd', budgets: [0.5] } as const;
  const { jobs, problems } = expandCampaign({
    name: 'a',
    defaults: { ...settings, 'gradual-steps': 'one', 'position-weights': 'gradient' },
    jobs: [{}, { 'gradual-steps': 'grid' }],
  });
  assert.deepEqual(problems, []);
  assert.deepEqual(jobs[0].settings.gradual, { steps: 'one' });
  assert.ok(!('gradual' in jobs[1].settings));
});
