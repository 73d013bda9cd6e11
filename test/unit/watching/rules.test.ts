// The alert rules: complete, about metrics that exist, each with its runbook and its tests.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { parse } from 'yaml';
import { alertsOf, readRules, thresholdOf } from '../../../deploy/prometheus/rule-file.ts';
import { projectRoot } from '../../../shared/project-root.ts';
import { assertKnown } from '../../support/check-query.ts';
import { knownMetrics } from '../../support/known-metrics.ts';

const root = projectRoot();
const read = (path: string) => readFileSync(join(root, path), 'utf8');
const rules = readRules(root);
const alerts = alertsOf(rules);
const RUNBOOKS = 'https://github.com/espalier/espalier/blob/main/docs/runbooks.md';

describe('rules', () => {
  it('name metrics, labels and values that exist', () => {
    const known = knownMetrics(rules);
    for (const { expr } of rules.groups.flatMap((group) => group.rules)) assertKnown(expr, known);
  });

  it('would be found out if they named others', () => {
    const known = knownMetrics(rules);
    for (const wrong of [
      'espalier_worker > 0',
      'espalier_workers{state="queued"}',
      'espalier_jobs_total{state="finished"}',
      'sum by (reason) (espalier_workers)',
      'espalier_accuracy_drop_ratio_bucket{le="0.06"}',
      'espalier_workers >',
    ])
      assert.throws(() => assertKnown(wrong, known), wrong);
  });

  it('have names of their own', () => {
    const names = rules.groups.flatMap((group) =>
      group.rules.map((rule) => ('alert' in rule ? rule.alert : rule.record)),
    );
    assert.equal(new Set(names).size, names.length);
  });
});

describe('alerts', () => {
  for (const { alert, labels, annotations } of alerts)
    it(`${alert} says how bad, what, with values, and where to read on`, () => {
      assert.match(alert, /^Espalier[A-Z]/);
      assert.ok(['warning', 'critical'].includes(labels.severity), labels.severity);
      assert.deepEqual(Object.keys(annotations), ['summary', 'description', 'runbook_url']);
      assert.match(annotations.summary, /^[A-Z].*[^.]$/);
      assert.match(annotations.description, /\{\{.*(\$value|\$labels).*\}\}.*\.$/s);
      assert.equal(annotations.runbook_url, `${RUNBOOKS}#${alert.toLowerCase()}`);
    });

  it('cover what docs/operations.md says one should be woken for', () => {
    const [, table = ''] = /\n## What to watch\n(.*?)\n\n(?=[A-Z])(?!Scrape)/s.exec(read('docs/operations.md')) ?? [];
    const watched = new Set([...table.matchAll(/\b(espalier|nodejs|process)_[a-z0-9_]+/g)].map(([name]) => name));
    assert.ok(watched.size >= 10, [...watched].join());
    const expressions = rules.groups.flatMap((group) => group.rules.map(({ expr }) => expr)).join('\n');
    for (const name of watched) assert.match(expressions, new RegExp(`\\b${name}\\b`), name);
  });

  it('have thresholds that can be read', () => {
    assert.deepEqual(thresholdOf(rules, 'EspalierCertificateExpiresSoon'), {
      severity: 'warning',
      comparison: '<',
      value: 14 * 24 * 3600,
    });
    assert.deepEqual(thresholdOf(rules, 'EspalierStoreFull'), { severity: 'critical', comparison: '>=', value: 0.9 });
    assert.throws(() => thresholdOf(rules, 'EspalierNothing'), /has no alert EspalierNothing/);
  });
});

describe('docs/runbooks.md', () => {
  const sections = read('docs/runbooks.md').split('\n## ').slice(1);

  it('has a section for each alert, and no other', () => {
    assert.deepEqual(
      sections.map((section) => section.split('\n')[0]!).sort(),
      alerts.map(({ alert }) => alert).sort(),
    );
  });

  for (const section of sections) {
    const [name = '', , opening = ''] = section.split('\n');
    it(`${name}: how bad, what it means, how to look, what to do`, () => {
      const { severity } = alerts.find(({ alert }) => alert === name)!.labels;
      assert.match(opening, new RegExp(`^${severity}: `, 'i'));
      const parts = section.split(/^\*\*(Means|Look|Do)\.\*\* /m).slice(1);
      assert.deepEqual(
        parts.filter((_, i) => i % 2 === 0),
        ['Means', 'Look', 'Do'],
      );
      for (const text of parts.filter((_, i) => i % 2 === 1)) assert.ok(text.trim().length > 40, text);
    });
  }
});

describe('rules.test.yaml', () => {
  const { tests } = parse(read('deploy/prometheus/rules.test.yaml')) as {
    tests: { alert_rule_test: { alertname: string; exp_alerts: unknown[] }[] }[];
  };
  const cases = tests.flatMap(({ alert_rule_test: each }) => each);

  it('has each alert fire and not fire', () => {
    for (const { alert } of alerts) {
      const expected = cases
        .filter(({ alertname }) => alertname === alert)
        .map(({ exp_alerts: all }) => all.length > 0);
      assert.deepEqual([...new Set(expected)].sort(), [false, true], alert);
    }
  });

  it('is about alerts that there are', () => {
    const names = new Set(alerts.map(({ alert }) => alert));
    for (const { alertname } of cases) assert.ok(names.has(alertname), alertname);
  });
});
