// Prometheus' own checker on the rules, on their tests, and on every expression of the dashboard.
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import type { Panel } from '@grafana/grafana-foundation-sdk/dashboard';
import type { Dataquery } from '@grafana/grafana-foundation-sdk/prometheus';
import { stringify } from 'yaml';
import { buildDashboard } from '../../../deploy/grafana/dashboard.ts';
import { findPromtool, promtoolMissing, runPromtool } from '../../../deploy/prometheus/promtool.ts';
import { RULES_FILE, readRules } from '../../../deploy/prometheus/rule-file.ts';
import { projectRoot } from '../../../shared/project-root.ts';
import { withoutVariables } from '../../support/promql.ts';

const promtool = findPromtool();
const root = projectRoot();

function passes(...args: string[]): void {
  const { status, stdout, stderr } = runPromtool(promtool!, args);
  assert.equal(status, 0, `${stdout}${stderr}`);
}

describe('promtool', { skip: promtool === null && promtoolMissing() }, () => {
  it('finds nothing wrong with the rules', () => passes('check', 'rules', '--lint-fatal', join(root, RULES_FILE)));

  it('sees each alert fire and not fire', () =>
    passes('test', 'rules', join(root, 'deploy/prometheus/rules.test.yaml')));

  it('takes every expression of the dashboard', (t) => {
    const folder = mkdtempSync(join(tmpdir(), 'espalier-promtool-'));
    t.after(() => rmSync(folder, { recursive: true }));
    const panels = buildDashboard(readRules(root)).panels!.filter((panel) => panel.type !== 'row') as Panel[];
    const expressions = panels.flatMap(({ targets }) => (targets as Dataquery[]).map(({ expr }) => expr));
    const rules = expressions.map((expr, i) => ({ record: `panel:${i}`, expr: withoutVariables(expr) }));
    const file = join(folder, 'panels.yaml');
    writeFileSync(file, stringify({ groups: [{ name: 'panels', rules }] }));
    passes('check', 'rules', file);
  });
});

describe('without promtool', () => {
  it('it is looked for where ESPALIER_PROMTOOL says, else in PATH', () => {
    assert.equal(findPromtool({ ESPALIER_PROMTOOL: '/nowhere/promtool', PATH: '/bin' }), null);
    assert.match(promtoolMissing({ ESPALIER_PROMTOOL: '/nowhere/promtool' }), /no file \/nowhere\/promtool$/);
    assert.equal(findPromtool({ PATH: '/nowhere' }), null);
    assert.match(promtoolMissing({}), /no promtool in PATH; ESPALIER_PROMTOOL names one/);
    assert.equal(findPromtool({ ESPALIER_PROMTOOL: process.execPath }), process.execPath);
  });
});
