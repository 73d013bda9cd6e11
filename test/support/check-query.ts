import assert from 'node:assert/strict';
import { type KnownMetric, TARGET_LABELS } from './known-metrics.ts';
import { parsePromql } from './promql.ts';

/** Asserts that an expression is PromQL and names nothing but metrics, labels and values that exist. */
export function assertKnown(expression: string, known: ReadonlyMap<string, KnownMetric>): void {
  const { selectors, groupingLabels } = parsePromql(expression);
  assert.notEqual(selectors.length, 0, expression);
  const labelsSeen = new Set(TARGET_LABELS);
  for (const { metric, matchers } of selectors) {
    const found = known.get(metric);
    assert.ok(found !== undefined, `no metric ${metric}: ${expression}`);
    for (const label of found.labels) labelsSeen.add(label);
    for (const { label, operator, value } of matchers) {
      const isKnown = found.labels.includes(label) || TARGET_LABELS.includes(label);
      assert.ok(isKnown, `${metric} has no label ${label}: ${expression}`);
      const possible = found.values[label];
      if (possible === undefined) continue;
      for (const each of operator.endsWith('~') ? value.split('|') : [value])
        assert.ok(possible.includes(each), `${label} of ${metric} is never ${each}: ${expression}`);
    }
  }
  for (const label of groupingLabels) assert.ok(labelsSeen.has(label), `no label ${label}: ${expression}`);
}
