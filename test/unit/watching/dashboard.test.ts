// The Grafana dashboard: every panel can be understood, asks for what exists, and agrees with the alerts.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import type { Dashboard, Panel, RowPanel } from '@grafana/grafana-foundation-sdk/dashboard';
import type { Dataquery } from '@grafana/grafana-foundation-sdk/prometheus';
import * as units from '@grafana/grafana-foundation-sdk/units';
import { dashboardConfigMap } from '../../../deploy/grafana/config-map.ts';
import { buildDashboard } from '../../../deploy/grafana/dashboard.ts';
import { thresholdSteps } from '../../../deploy/grafana/threshold-steps.ts';
import { alertsOf, readRules } from '../../../deploy/prometheus/rule-file.ts';
import { watchingFiles } from '../../../deploy/watching/watching-files.ts';
import { projectRoot } from '../../../shared/project-root.ts';
import { assertKnown } from '../../support/check-query.ts';
import { knownMetrics } from '../../support/known-metrics.ts';
import { parsePromql } from '../../support/promql.ts';

const root = projectRoot();
const rules = readRules(root);
const dashboard: Dashboard = buildDashboard(rules);
const isRow = (panel: Panel | RowPanel): panel is RowPanel => panel.type === 'row';
const panels = dashboard.panels!.filter((panel): panel is Panel => !isRow(panel));

describe('made files', () => {
  for (const [file, text] of watchingFiles(root))
    it(`${file} is current`, () => {
      // Not deepEqual: its message would be the whole file.
      const isCurrent = readFileSync(join(root, file), 'utf8') === text;
      assert.ok(isCurrent, `${file} is not what its sources say: npm run watching:generate`);
    });

  it('are the same each time', () => {
    assert.deepEqual(watchingFiles(root), watchingFiles(root));
  });

  it('fit into the annotation that clients keep of what they applied', () => {
    assert.ok(Buffer.byteLength(dashboardConfigMap(dashboard)) < 200 * 1024);
  });
});

describe('the dashboard', () => {
  it('has variables for the data source, the namespace and the instance', () => {
    const variables = dashboard.templating!.list!;
    assert.deepEqual(
      variables.map(({ name, type }) => [name, type]),
      [
        ['datasource', 'datasource'],
        ['namespace', 'query'],
        ['instance', 'query'],
      ],
    );
    for (const { allValue, includeAll } of variables.slice(1)) assert.deepEqual([allValue, includeAll], ['.*', true]);
  });

  it('numbers panels, and names each once', () => {
    for (const key of ['id', 'title'] as const) {
      const values = dashboard.panels!.map((panel) => panel[key]);
      assert.ok(!values.includes(undefined));
      assert.equal(new Set(values).size, values.length, key);
    }
  });

  it('lays panels out without overlap, none beyond the edge', () => {
    const taken = new Set<string>();
    for (const { gridPos, title } of dashboard.panels!)
      for (let { x } = gridPos!; x < gridPos!.x + gridPos!.w; x++)
        for (let { y } = gridPos!; y < gridPos!.y + gridPos!.h; y++) {
          assert.ok(x < 24 && !taken.has(`${x} ${y}`), `${title} at ${x} ${y}`);
          taken.add(`${x} ${y}`);
        }
  });

  it('links to runbooks that there are', () => {
    const known = alertsOf(rules).map(({ annotations }) => annotations.runbook_url);
    const linked = panels.flatMap(({ links = [] }) => links.map(({ url }) => url!));
    for (const url of linked) assert.ok(known.includes(url), url);
    assert.deepEqual(
      [...new Set(linked)].sort(),
      [...known].sort(),
      'each alert has a panel that shows what it is about',
    );
  });

  it('has the panels that docs/runbooks.md names', () => {
    const titles = new Set(['Espalier', ...panels.map(({ title }) => title)]);
    const prose = readFileSync(join(root, 'docs/runbooks.md'), 'utf8').replace(/`[^`]*`/g, '');
    const named = [...prose.matchAll(/"([^"]+)"/g)].map(([, name = '']) => name.replace(/\s+/g, ' '));
    assert.ok(named.length > 10);
    for (const name of named) assert.ok(titles.has(name), name);
  });
});

describe('panels', () => {
  const known = knownMetrics(rules);
  const knownUnits = new Set<unknown>(Object.values(units));

  for (const panel of panels)
    it(`${panel.title}: described, with a unit, of metrics that exist`, () => {
      assert.match(panel.description ?? '', /^[A-Z0-9].*\.$/s);
      assert.ok(knownUnits.has(panel.fieldConfig?.defaults?.unit ?? ''), panel.fieldConfig?.defaults?.unit);
      assert.deepEqual(panel.datasource, { type: 'prometheus', uid: '$datasource' });
      const targets = panel.targets as Dataquery[];
      assert.notEqual(targets.length, 0);
      for (const { expr, legendFormat, datasource } of targets) {
        assertKnown(expr, known);
        assert.match(expr, /namespace=~"\$namespace"/, 'of the chosen cluster');
        assert.notEqual(legendFormat, '');
        assert.deepEqual(datasource, panel.datasource);
      }
    });
});

describe('expressions', () => {
  it('keep to our processes where other programs have the same metrics, whatever namespace is chosen', () => {
    const expressions = panels.flatMap(({ targets }) => (targets as Dataquery[]).map(({ expr }) => expr));
    const shared = expressions.filter((expr) => /\b(process|nodejs|kube)_/.test(expr));
    assert.ok(shared.length >= 9);
    for (const expr of shared) {
      const ours = parsePromql(expr).selectors.filter(({ metric }) => /^(namespace:)?espalier_/.test(metric));
      assert.notEqual(ours.length, 0, expr);
    }
  });
});

describe('thresholds', () => {
  const stepsOf = (title: string) => {
    const { thresholds } = panels.find((panel) => panel.title === title)!.fieldConfig!.defaults!;
    return thresholds!.steps.map(({ value, color }) => [value, color]);
  };

  it('are those of the alerts', () => {
    assert.deepEqual(stepsOf('Object store used'), [
      [null, 'green'],
      [0.8, 'orange'],
      [0.9, 'red'],
    ]);
    assert.deepEqual(stepsOf('Certificates: time left'), [
      [null, 'red'],
      [86_400, 'orange'],
      [14 * 86_400, 'green'],
    ]);
    assert.deepEqual(stepsOf('Connected to NATS'), [
      [null, 'red'],
      [1, 'green'],
    ]);
    assert.deepEqual(stepsOf('Tasks sent again, by reason'), [
      [null, 'green'],
      [0.05, 'orange'],
    ]);
  });

  it('are none where no alert is on what a panel shows', () => {
    assert.deepEqual(thresholdSteps([]), [{ value: null, color: 'green' }]);
  });
});
