// Which series a panel is about, by the dashboard's variables.

/** Of the whole cluster: what all coordinators tell alike, and what is added up over all processes. */
export const CLUSTER = 'namespace=~"$namespace"';
/** Of the chosen processes. */
export const OWN = 'namespace=~"$namespace", instance=~"$instance"';

/** Of an expression about metrics that other programs have, too, what is of the chosen processes of ours. */
export function ofOurs(expression: string): string {
  return `${expression} and on (namespace, job, instance) espalier_build_info{${OWN}}`;
}

/** Of an expression about objects of Kubernetes, what is in a namespace of ours. */
export function inOurNamespaces(expression: string): string {
  return `${expression} and on (namespace) namespace:espalier_workers:max{${CLUSTER}}`;
}

/** The p-quantile of a histogram of the chosen processes, by a label where one is given.
 * @param range a duration of PromQL, or one of Grafana's variables of a duration. */
export function quantile(p: number, histogram: string, label: string | null, range = '$__rate_interval'): string {
  const by = label === null ? 'le' : `le, ${label}`;
  return `histogram_quantile(${p}, sum by (${by}) (rate(${histogram}_bucket{${OWN}}[${range}])))`;
}

/** Of a counter of the chosen processes, a second, added up by a label. */
export function rateBy(label: string, counter: string, range = '$__rate_interval'): string {
  return `sum by (${label}) (rate(${counter}{${OWN}}[${range}]))`;
}
