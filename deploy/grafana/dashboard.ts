// The Grafana dashboard of a cluster, as a value. Thresholds and links to runbooks come from the alert rules.
import {
  type Dashboard,
  DashboardBuilder,
  DashboardCursorSync,
  DashboardLinkBuilder,
  DashboardLinkType,
  DatasourceVariableBuilder,
  QueryVariableBuilder,
  RowBuilder,
  VariableRefresh,
  VariableSort,
} from '@grafana/grafana-foundation-sdk/dashboard';
import type { RuleFile } from '../prometheus/rule-file.ts';
import { DATASOURCE, panel } from './panels.ts';
import type { Row } from './row.ts';
import { GPUS } from './rows/gpu.ts';
import { STORE } from './rows/nats.ts';
import { NOW } from './rows/now.ts';
import { PROCESSES } from './rows/processes.ts';
import { QUALITY } from './rows/quality.ts';
import { QUEUE } from './rows/queue.ts';
import { STAGES } from './rows/stages.ts';
import { TASKS } from './rows/tasks.ts';
import { THROUGHPUT } from './rows/throughput.ts';
import { WORKERS } from './rows/workers.ts';

const ROWS: readonly Row[] = [NOW, QUEUE, THROUGHPUT, STAGES, TASKS, WORKERS, GPUS, QUALITY, STORE, PROCESSES];

const DOCS = 'https://github.com/espalier/espalier/blob/main/docs';

/** Equal rules give equal JSON. */
export function buildDashboard(rules: RuleFile): Dashboard {
  const builder = new DashboardBuilder('Espalier')
    .uid('espalier')
    .description('Queue, throughput, workers and finished jobs of an Espalier cluster.')
    .tags(['espalier'])
    .readonly()
    .tooltip(DashboardCursorSync.Crosshair)
    .time({ from: 'now-6h', to: 'now' })
    .refresh('30s')
    .timezone('browser')
    .links([docLink('Runbooks', 'runbooks.md'), docLink('Operating a cluster', 'operations.md')])
    .variables([datasource(), processes('namespace', 'Namespace', ''), instance()]);
  let id = 0;
  for (const { title, panels } of ROWS) {
    builder.withRow(new RowBuilder(title).id(++id));
    for (const spec of panels) builder.withPanel(panel(rules, ++id, spec));
  }
  return builder.build();
}

function datasource(): DatasourceVariableBuilder {
  return new DatasourceVariableBuilder('datasource').label('Data source').type('prometheus');
}

function instance(): QueryVariableBuilder {
  const all = { text: ['All'], value: ['$__all'], selected: true };
  return processes('instance', 'Instance', '{namespace=~"$namespace"}').multi(true).current(all);
}

/** Values of a label of all processes. All of them match processes without that label, too: a cluster outside of
 * Kubernetes has no namespace. */
function processes(label: string, title: string, selector: string): QueryVariableBuilder {
  return new QueryVariableBuilder(label)
    .label(title)
    .datasource(DATASOURCE)
    .query(`label_values(espalier_build_info${selector}, ${label})`)
    .refresh(VariableRefresh.OnTimeRangeChanged)
    .sort(VariableSort.AlphabeticalAsc)
    .includeAll(true)
    .allValue('.*')
    .current({ text: 'All', value: '$__all', selected: true });
}

function docLink(title: string, file: string): DashboardLinkBuilder {
  return new DashboardLinkBuilder(title).type(DashboardLinkType.Link).url(`${DOCS}/${file}`).targetBlank(true);
}
