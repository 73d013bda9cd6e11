// The files of alerts and dashboards that are made from others, each with its text.
import { dashboardConfigMap } from '../grafana/config-map.ts';
import { buildDashboard } from '../grafana/dashboard.ts';
import { prometheusRule } from '../prometheus/prometheus-rule.ts';
import { readRules } from '../prometheus/rule-file.ts';

/** @param root of the checkout. @returns path below it → text; equal sources give equal texts. */
export function watchingFiles(root: string): ReadonlyMap<string, string> {
  const rules = readRules(root);
  const dashboard = buildDashboard(rules);
  return new Map([
    ['deploy/grafana/dashboards/espalier.json', `${JSON.stringify(dashboard, null, 2)}\n`],
    ['k8s/components/monitoring/dashboard.yaml', dashboardConfigMap(dashboard)],
    ['k8s/components/monitoring/prometheus-rule.yaml', prometheusRule(rules)],
  ]);
}
