// Prometheus' own checker on the rules, on their tests, and on every expression of the dashboard.
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, it, type TestContext } from 'node:test';
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

const panels = buildDashboard(readRules(root)).panels!.filter((panel): panel is Panel => panel.type !== 'row');

/** @returns path of a file of YAML that goes with the test. */
function temporaryFile(t: TestContext, content: unknown): string {
  const folder = mkdtempSync(join(tmpdir(), 'espalier-promtool-'));
  t.after(() => rmSync(folder, { recursive: true }));
  const file = join(folder, 'rules.yaml');
  writeFileSync(file, stringify(content));
  return file;
}

function passes(...args: string[]): void {
  const { status, stdout, stderr } = runPromtool(promtool!, args);
  assert.equal(status, 0, `${stdout}${stderr}`);
}

describe('promtool', { skip: promtool === null && promtoolMissing() }, () => {
  it('finds nothing wrong with the rules', () => passes('check', 'rules', '--lint-fatal', join(root, RULES_FILE)));

  it('sees each alert fire and not fire', () =>
    passes('test', 'rules', join(root, 'deploy/prometheus/rules.test.yaml')));

  it('takes every expression of the dashboard', (t) => {
    const expressions = panels.flatMap(({ targets }) => (targets as Dataquery[]).map(({ expr }) => expr));
    const rules = expressions.map((expr, i) => ({ record: `panel:${i}`, expr: withoutVariables(expr) }));
    const file = temporaryFile(t, { groups: [{ name: 'panels', rules }] });
    passes('check', 'rules', file);
  });
});

describe('GPUs', { skip: promtool === null && promtoolMissing() }, () => {
  it('are found by the namespace of the pod that has them, in whichever label it is', (t) => {
    const gpuPanel = panels.find(({ title }) => title === 'GPU utilisation')!;
    const [{ expr = '' } = {}] = gpuPanel.targets as Dataquery[];
    const metric = 'DCGM_FI_DEV_GPU_UTIL';
    const labelled = '{gpu="0", exported_namespace="espalier", namespace="gpu-operator", pod="exporter"}';
    const honoured = '{gpu="1", namespace="espalier", pod="worker-1"}';
    const others = ['{gpu="2", namespace="gpu-operator"}', '{gpu="3", namespace="shop", pod="other"}'];
    const series = [labelled, honoured, ...others].map((labels) => ({ series: metric + labels, values: '40x5' }));
    const expected = [labelled, honoured].map((labels) => ({ labels: metric + labels, value: 40 }));
    const query = { expr: expr.replaceAll('$namespace', 'espalier'), eval_time: '2m', exp_samples: expected };
    const tests = [{ interval: '1m', input_series: series, promql_expr_test: [query] }];
    passes('test', 'rules', temporaryFile(t, { tests }));
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
