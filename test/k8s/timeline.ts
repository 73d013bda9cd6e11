// What is seen of the cluster, a line a moment, as the lab's demos print it.
import type { KubeApi } from './kube-api.ts';
import type { KubeObject, Pod, Workload } from './kube-objects.ts';
import { componentSelector, paths } from './names.ts';
import type { NodeAgent } from './node-agent.ts';

const SCRAPE_MS = 5_000;

export interface Moment {
  readonly replicas: number;
  readonly pods: number;
  readonly ready: number;
  readonly pending: number;
  readonly ending: number;
  readonly gpuNodes: number;
  readonly jobs: Readonly<Record<string, number>>;
  readonly tasksPending: number;
}

export class Timeline {
  readonly moments: Moment[] = [];
  readonly #api: KubeApi;
  readonly #agent: NodeAgent;
  readonly #start = performance.now();
  #lastShape = '';

  constructor(api: KubeApi, agent: NodeAgent) {
    this.#api = api;
    this.#agent = agent;
  }

  say(text: string): void {
    const seconds = Math.round((performance.now() - this.#start) / 1000);
    console.log(`${String(seconds).padStart(4)}s  ${text}`);
  }

  /** Looks once, and prints what it sees where more has changed than the number of tasks. */
  async look(): Promise<Moment> {
    const selector = encodeURIComponent(componentSelector('worker'));
    const [workload, pods, nodes, metrics] = await Promise.all([
      this.#api.get<Workload>(paths.deployment('worker')),
      this.#api.list<Pod>(`${paths.pods}?labelSelector=${selector}`),
      this.#api.list<KubeObject>(`${paths.nodes}?labelSelector=nvidia.com%2Fgpu.present`),
      this.coordinatorMetrics(),
    ]);
    const living = pods.filter(({ metadata }) => metadata.deletionTimestamp === undefined);
    const states = Object.entries(metrics).filter(([name, value]) => /^espalier_jobs_in_state/.test(name) && value > 0);
    const moment: Moment = {
      replicas: workload.spec.replicas ?? 0,
      pods: living.length,
      ready: living.filter(isReady).length,
      pending: living.filter(({ spec }) => spec.nodeName === undefined).length,
      ending: pods.length - living.length,
      gpuNodes: nodes.length,
      jobs: Object.fromEntries(states.map(([name, value]) => [/state="(\w+)"/.exec(name)?.[1] ?? name, value])),
      tasksPending: metrics.espalier_cluster_tasks_pending ?? 0,
    };
    this.moments.push(moment);
    const { jobs, ...counts } = moment;
    const told = Object.entries(counts).map(([name, count]) => `${name}=${String(count).padEnd(2)}`);
    const line = `${told.join(' ')} jobs: ${
      Object.entries(jobs)
        .map(([state, count]) => `${state} ${count}`)
        .join(', ') || 'none'
    }`;
    const shape = line.replace(/tasksPending=\d+ */, '');
    if (shape !== this.#lastShape) this.say(line);
    this.#lastShape = shape;
    return moment;
  }

  /** Metrics of a coordinator that answers, by name and labels; none where none answers. */
  async coordinatorMetrics(): Promise<Readonly<Record<string, number>>> {
    for (const { address } of this.#agent.podsOf('coordinator')) {
      const found = await scrape(address, 9470);
      if (found !== null) return found;
    }
    return {};
  }
}

/** A process's metrics by name and labels; null when it does not answer. */
export async function scrape(address: string, port: number): Promise<Readonly<Record<string, number>> | null> {
  try {
    const response = await fetch(`http://${address}:${port}/metrics`, { signal: AbortSignal.timeout(SCRAPE_MS) });
    const lines = (await response.text()).split('\n').filter((line) => line !== '' && !line.startsWith('#'));
    return Object.fromEntries(
      lines.map((line) => [line.slice(0, line.lastIndexOf(' ')), Number(line.split(' ').at(-1))]),
    );
  } catch {
    return null;
  }
}

function isReady({ status }: Pod): boolean {
  return status.conditions?.some(({ type, status: holds }) => type === 'Ready' && holds === 'True') ?? false;
}
