// The dashboard as the sidecar of Grafana's Helm chart finds it: a ConfigMap with the label grafana_dashboard.
import type { Dashboard } from '@grafana/grafana-foundation-sdk/dashboard';
import { stringify } from 'yaml';

/** The folder in Grafana, for a sidecar that is told to look at this annotation (`folderAnnotation`). */
const FOLDER = 'Espalier';

/** @returns YAML of the ConfigMap. The JSON is without white space: clients keep a copy of what they applied in an
 * annotation, which may have 256 KiB. */
export function dashboardConfigMap(dashboard: Dashboard): string {
  const object = {
    apiVersion: 'v1',
    kind: 'ConfigMap',
    metadata: {
      name: 'espalier-dashboard',
      namespace: 'espalier',
      labels: { grafana_dashboard: '1' },
      annotations: { grafana_folder: FOLDER },
    },
    data: { 'espalier.json': JSON.stringify(dashboard) },
  };
  return `# Made of deploy/grafana by \`npm run watching:generate\`; not to be edited.\n${stringify(object, { lineWidth: 0 })}`;
}
