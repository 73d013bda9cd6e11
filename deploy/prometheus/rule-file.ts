// deploy/prometheus/rules.yaml as values, and what alerts compare with.
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { parse } from 'yaml';

export const RULES_FILE = 'deploy/prometheus/rules.yaml';

export interface RecordingRule {
  readonly record: string;
  readonly expr: string;
}

export interface AlertRule {
  readonly alert: string;
  readonly expr: string;
  readonly for?: string;
  readonly labels: { readonly severity: 'warning' | 'critical' };
  readonly annotations: { readonly summary: string; readonly description: string; readonly runbook_url: string };
}

export interface RuleGroup {
  readonly name: string;
  readonly rules: readonly (RecordingRule | AlertRule)[];
}

export interface RuleFile {
  readonly groups: readonly RuleGroup[];
}

/** Where the value of an alert's expression begins to be wrong. */
export interface AlertThreshold {
  readonly severity: 'warning' | 'critical';
  readonly comparison: '>' | '>=' | '<' | '==';
  readonly value: number;
}

/** @param root of the checkout. */
export function readRules(root: string): RuleFile {
  return parse(readFileSync(join(root, RULES_FILE), 'utf8')) as RuleFile;
}

export function alertsOf({ groups }: RuleFile): AlertRule[] {
  return groups.flatMap(({ rules }) => rules.filter((rule) => 'alert' in rule));
}

/** @throws Error when there is no such alert. */
export function alertNamed(rules: RuleFile, name: string): AlertRule {
  const found = alertsOf(rules).find(({ alert }) => alert === name);
  if (found === undefined) throw new Error(`${RULES_FILE} has no alert ${name}`);
  return found;
}

const COMPARISON = /(>=|==|>|<) *([\d.]+)(?: *\* *([\d.]+))?$/m;

/** The first comparison with a number that ends a line of the alert's expression.
 * @throws Error when there is no such alert, or no such line. */
export function thresholdOf(rules: RuleFile, name: string): AlertThreshold {
  const { expr, labels } = alertNamed(rules, name);
  const [, comparison, value, factor = '1'] = COMPARISON.exec(expr) ?? [];
  if (comparison === undefined) throw new Error(`${RULES_FILE}: ${name} compares with no number at the end of a line`);
  return {
    severity: labels.severity,
    comparison: comparison as AlertThreshold['comparison'],
    value: Number(value) * Number(factor),
  };
}
