// All that a part of the tests works with: the lab, the node agent, the cluster's DNS, and a user's command line.
import path from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { projectRoot } from '../../shared/project-root.ts';
import { Client } from './client.ts';
import { ClusterDns } from './cluster-dns.ts';
import { KubeApi } from './kube-api.ts';
import type { KubeObject, Pod, Workload } from './kube-objects.ts';
import { DNS_ADDRESS, Lab } from './lab.ts';
import { componentSelector, paths } from './names.ts';
import { NodeAgent } from './node-agent.ts';
import { Timeline } from './timeline.ts';

const POLL_MS = 500;

export class World {
  readonly lab: Lab;
  readonly api: KubeApi;
  readonly agent: NodeAgent;
  readonly timeline: Timeline;
  readonly #abort: AbortController;

  private constructor(lab: Lab, api: KubeApi, agent: NodeAgent, abort: AbortController) {
    this.lab = lab;
    this.api = api;
    this.agent = agent;
    this.timeline = new Timeline(api, agent);
    this.#abort = abort;
  }

  /** Starts everything but the workloads. Whoever starts it stops it. */
  static async start(nodes: { gpuNodes: number; cpuNodes: number }): Promise<World> {
    const lab = await Lab.start(nodes);
    const abort = new AbortController();
    const api = new KubeApi(lab.kubeconfig);
    const definitions = (process.env.ESPALIER_K8S_DEFINITIONS ?? '').split(path.delimiter);
    const files = definitions.flatMap((file) => ['-f', file]);
    await lab.kubectlOk('apply', '--server-side', ...files);
    await ClusterDns.start(api, DNS_ADDRESS, abort.signal);
    await lab.cluster('keda-up');
    return new World(lab, api, await NodeAgent.start(api, lab), abort);
  }

  /** A folder of k8s/. */
  readonly manifests = (...parts: readonly string[]): string => {
    return path.join(projectRoot(), 'k8s', ...parts);
  };

  openClient(name: string): Promise<Client> {
    return Client.open(this.api, path.join(this.lab.folder, 'clients', name));
  }

  /** Those of a component that are not being deleted. */
  async pods(component: 'coordinator' | 'worker' | 'nats'): Promise<readonly Pod[]> {
    const selector = encodeURIComponent(componentSelector(component));
    const pods = await this.api.list<Pod>(`${paths.pods}?labelSelector=${selector}`);
    return pods.filter(({ metadata }) => metadata.deletionTimestamp === undefined);
  }

  /** Asks until `condition` holds. @returns what it found.
   * @throws with what was seen last and how the pods are, after the deadline. */
  async eventually<T>(
    what: string,
    ask: () => Promise<T>,
    condition: (seen: T) => boolean,
    seconds: number,
  ): Promise<T> {
    const end = performance.now() + seconds * 1000;
    for (;;) {
      const seen = await ask();
      if (condition(seen)) return seen;
      if (performance.now() > end)
        throw new Error(`waited ${seconds} s in vain for: ${what}; seen: ${short(seen)}\n${this.agent.describe()}`);
      await pause(POLL_MS);
    }
  }

  /** Resolves when a Deployment or StatefulSet has all its replicas, of its newest template and ready. */
  async ready(workload: string, seconds: number): Promise<void> {
    await this.eventually(
      `${workload} is ready`,
      async () => {
        const { metadata, spec, status } = await this.api.get<Workload>(workload);
        const counts = [status?.replicas, status?.readyReplicas, status?.updatedReplicas].map((count) => count ?? 0);
        return { wanted: spec.replicas ?? 1, isSeen: status?.observedGeneration === metadata.generation, counts };
      },
      ({ wanted, isSeen, counts }) => isSeen && counts.every((count) => count === wanted),
      seconds,
    );
  }

  /** Deletes our namespace with all in it. */
  async deleteNamespace(seconds: number): Promise<void> {
    await this.api.delete(paths.namespace);
    const ask = () => this.api.find<KubeObject>(paths.namespace);
    await this.eventually('the namespace is gone', ask, (found) => found === null, seconds);
  }

  async stop(): Promise<void> {
    try {
      await this.agent.stop();
    } finally {
      this.#abort.abort();
      this.api.close();
      await this.lab.stop();
    }
  }
}

function short(seen: unknown): string {
  return (JSON.stringify(seen) ?? String(seen)).slice(0, 4_000);
}
