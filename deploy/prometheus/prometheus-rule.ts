// The rules as Kubernetes' Prometheus operator takes them.
import { stringify } from 'yaml';
import { RULES_FILE, type RuleFile } from './rule-file.ts';

/** @returns YAML of a PrometheusRule with the groups of `rules`. */
export function prometheusRule({ groups }: RuleFile): string {
  const object = {
    apiVersion: 'monitoring.coreos.com/v1',
    kind: 'PrometheusRule',
    metadata: { name: 'espalier', namespace: 'espalier' },
    spec: { groups },
  };
  return `# Made of ${RULES_FILE} by \`npm run watching:generate\`; not to be edited.\n${stringify(object, { lineWidth: 0 })}`;
}
