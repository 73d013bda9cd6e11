// Panels: one query language, one look, and for each a description, a unit, and links to the runbooks of its alerts.
import type * as cog from '@grafana/grafana-foundation-sdk/cog';
import {
  BigValueColorMode,
  BigValueGraphMode,
  GraphThresholdsStyleConfigBuilder,
  GraphThresholdsStyleMode,
  LegendDisplayMode,
  LegendPlacement,
  ReduceDataOptionsBuilder,
  StackingConfigBuilder,
  StackingMode,
  TooltipDisplayMode,
  VisibilityMode,
  VizLegendOptionsBuilder,
  VizTooltipOptionsBuilder,
} from '@grafana/grafana-foundation-sdk/common';
import {
  DashboardLinkBuilder,
  DashboardLinkType,
  type Panel,
  ThresholdsConfigBuilder,
} from '@grafana/grafana-foundation-sdk/dashboard';
import { DataqueryBuilder } from '@grafana/grafana-foundation-sdk/prometheus';
import { PanelBuilder as StatBuilder } from '@grafana/grafana-foundation-sdk/stat';
import { PanelBuilder as TimeSeriesBuilder } from '@grafana/grafana-foundation-sdk/timeseries';
import { alertNamed, type RuleFile, thresholdOf } from '../prometheus/rule-file.ts';
import { thresholdSteps } from './threshold-steps.ts';

export const DATASOURCE = { type: 'prometheus', uid: '$datasource' };

export interface PanelSpec {
  readonly title: string;
  readonly description: string;
  /** Of Grafana: @grafana/grafana-foundation-sdk/units. */
  readonly unit: string;
  readonly queries: readonly { readonly expr: string; readonly legend: string }[];
  /** Alerts on what the panel shows: their thresholds are drawn, their runbooks linked. */
  readonly alerts?: readonly string[];
  /** Alerts that have to do with it: linked. */
  readonly related?: readonly string[];
  /** One big number, the last, in place of lines; coloured by the alerts' thresholds. */
  readonly number?: boolean;
  /** Areas upon each other. */
  readonly stacked?: boolean;
  /** Of the axis; 0 and none unless told. */
  readonly min?: number | null;
  readonly max?: number;
  readonly width?: number;
}

/** @param id unique in the dashboard. */
export function panel(rules: RuleFile, id: number, spec: PanelSpec): cog.Builder<Panel> {
  const { alerts = [], related = [], unit, width = spec.number ? 4 : 8 } = spec;
  const built = spec.number ? numberPanel(alerts.length > 0) : linesPanel(spec, alerts.length > 0);
  const { min = 0, max } = spec;
  if (min !== null) built.min(min);
  if (max !== undefined) built.max(max);
  return built
    .id(id)
    .title(spec.title)
    .description(spec.description)
    .datasource(DATASOURCE)
    .unit(unit)
    .span(width)
    .height(spec.number ? 4 : 8)
    .thresholds(new ThresholdsConfigBuilder().steps(thresholdSteps(alerts.map((name) => thresholdOf(rules, name)))))
    .links([...alerts, ...related].map((name) => runbookLink(rules, name)))
    .targets(spec.queries.map((query, i) => target(query, String.fromCharCode(65 + i), spec.number ?? false)));
}

function numberPanel(coloured: boolean): StatBuilder {
  return new StatBuilder()
    .graphMode(BigValueGraphMode.None)
    .colorMode(coloured ? BigValueColorMode.Value : BigValueColorMode.None)
    .reduceOptions(new ReduceDataOptionsBuilder().calcs(['lastNotNull']));
}

function linesPanel({ stacked = false }: PanelSpec, thresholds: boolean): TimeSeriesBuilder {
  const style = thresholds ? GraphThresholdsStyleMode.Dashed : GraphThresholdsStyleMode.Off;
  return new TimeSeriesBuilder()
    .lineWidth(1)
    .fillOpacity(stacked ? 30 : 0)
    .showPoints(VisibilityMode.Never)
    .stacking(new StackingConfigBuilder().mode(stacked ? StackingMode.Normal : StackingMode.None))
    .thresholdsStyle(new GraphThresholdsStyleConfigBuilder().mode(style))
    .tooltip(new VizTooltipOptionsBuilder().mode(TooltipDisplayMode.Multi))
    .legend(
      new VizLegendOptionsBuilder()
        .displayMode(LegendDisplayMode.List)
        .placement(LegendPlacement.Bottom)
        .showLegend(true),
    );
}

function target({ expr, legend }: PanelSpec['queries'][number], refId: string, instant: boolean) {
  const query = new DataqueryBuilder().expr(expr).legendFormat(legend).refId(refId).datasource(DATASOURCE);
  return instant ? query.instant() : query.range();
}

function runbookLink(rules: RuleFile, name: string): DashboardLinkBuilder {
  return new DashboardLinkBuilder(`Runbook: ${name}`)
    .type(DashboardLinkType.Link)
    .url(alertNamed(rules, name).annotations.runbook_url)
    .targetBlank(true);
}
