// KEDA reads what is there: the stream and the consumer of wake tokens, a metric of coordinators, pages that serve them; and
// each pod gets as many jobs and tasks as it has workers for.
import { readFileSync } from 'node:fs';
import path from 'node:path';
import { WAKE_CONSUMER, WAKE_STREAM } from '../../../shared/bus/streams.ts';
import { projectRoot } from '../../../shared/project-root.ts';
import { environmentOf } from './check-settings.ts';
import { type KubeObject, workloadsOf } from './objects.ts';

const JOBS_A_WORKER = 4;
const TASKS_A_WORKER = 8;
/** A test compares that page with the code. */
const METRICS = readFileSync(path.join(projectRoot(), 'docs/metrics.md'), 'utf8');

type Metadata = Readonly<Record<string, string>>;

/** @returns what is wrong, a line each. */
export function checkScaling(objects: readonly KubeObject[]): string[] {
  const workers = workersAPod(objects);
  return objects.flatMap(({ kind, metadata: { name }, spec = {} }) => {
    if (kind !== 'ScaledObject') return [];
    const { triggers = [], minReplicaCount = 0, maxReplicaCount = 100 } = spec;
    const problems = triggers.flatMap(({ type, metadata }) => {
      const read = TRIGGERS[type];
      return read === undefined ? [`${type}: not a trigger of ours`] : read(metadata, workers);
    });
    if (triggers[0]?.type !== 'nats-jetstream') problems.push('no trigger that can start the first worker');
    if (minReplicaCount !== 0 || maxReplicaCount < 1) problems.push(`from ${minReplicaCount} to ${maxReplicaCount}`);
    return problems.map((problem) => `ScaledObject ${name}: ${problem}`);
  });
}

const TRIGGERS: Readonly<Record<string, (metadata: Metadata, workers: number) => string[]>> = {
  'nats-jetstream': ({ stream, consumer, account, lagThreshold, natsServerMonitoringEndpoint }, workers) => [
    ...differs('stream', stream, WAKE_STREAM),
    ...differs('consumer', consumer, WAKE_CONSUMER),
    ...differs('account', account, '$G'),
    ...differs('lagThreshold', lagThreshold, `${JOBS_A_WORKER * workers}`),
    ...differs('port of NATS', natsServerMonitoringEndpoint.split(':').at(-1), '8222'),
  ],
  'metrics-api': ({ url, format, valueLocation, targetValue }, workers) => [
    ...differs('url', url, 'http://coordinator.espalier.svc.cluster.local:9470/metrics'),
    ...differs('format', format, 'prometheus'),
    ...differs('targetValue', targetValue, `${TASKS_A_WORKER * workers}`),
    ...unknownMetrics(valueLocation),
  ],
  prometheus: ({ query, threshold, ignoreNullValues }, workers) => [
    ...differs('threshold', threshold, `${TASKS_A_WORKER * workers}`),
    ...differs('ignoreNullValues', ignoreNullValues, 'false'),
    ...unknownMetrics(query),
  ],
};

function differs(name: string, got: string | undefined, expected: string): string[] {
  return got === expected ? [] : [`${name}: got ${got}, expected ${expected}`];
}

function unknownMetrics(text: string): string[] {
  const names = text.match(/\bespalier_\w+/g) ?? ['none'];
  const ofCoordinators = METRICS.slice(METRICS.indexOf('## Coordinator'), METRICS.indexOf('## Worker'));
  return names.filter((name) => !ofCoordinators.includes(`\`${name}\``)).map((name) => `${name}: no such metric`);
}

function workersAPod(objects: readonly KubeObject[]): number {
  const containers = workloadsOf(objects).flatMap((workload) => workload.containers);
  const worker = containers.find(({ name }) => name === 'worker');
  return worker === undefined ? 0 : Number(environmentOf(worker, objects).ESPALIER_WORKERS);
}
