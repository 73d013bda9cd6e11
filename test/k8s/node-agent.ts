// The kubelet of all simulated nodes, for the pods of our namespace: it runs those that are scheduled as real processes,
// tells the API server how they are, and ends those that are deleted.
import { mkdirSync } from 'node:fs';
import path from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import type { Ending, ProbeKind } from './container.ts';
import { type KubeApi, KubeApiError } from './kube-api.ts';
import type { Pod } from './kube-objects.ts';
import { BRIDGE_ADDRESS, type Lab } from './lab.ts';
import { paths } from './names.ts';
import { PodRun } from './pod.ts';

const DEFAULT_GRACE_SECONDS = 30;
/** Until a pod that lacks a ConfigMap or Secret is tried again. */
const RETRY_MS = 1_000;
const LINES_OF_A_LOG = 4;

export interface PodEnding extends Ending {
  readonly pod: string;
  readonly container: string;
}

export interface PodProbe {
  readonly pod: string;
  readonly container: string;
  readonly kind: ProbeKind;
  /** null: it is well. */
  readonly problem: string | null;
  /** Whether the pod was being deleted. */
  readonly isDraining: boolean;
}

interface Entry {
  readonly run: PodRun;
  pod: Pod;
  isEnding: boolean;
  sent: string;
  sending: Promise<void>;
}

export class NodeAgent {
  /** Every end of a container. */
  readonly endings: PodEnding[] = [];
  /** Every change of what a probe says. */
  readonly probes: PodProbe[] = [];
  /** What went wrong with the agent itself. */
  readonly problems: string[] = [];
  readonly #api: KubeApi;
  readonly #lab: Lab;
  readonly #pods = new Map<string, Entry>();
  readonly #abort = new AbortController();
  #count = 0;

  private constructor(api: KubeApi, lab: Lab) {
    this.#api = api;
    this.#lab = lab;
  }

  /** Runs what is there and what comes. Whoever starts it stops it. */
  static async start(api: KubeApi, lab: Lab): Promise<NodeAgent> {
    for (const name of ['pods', 'claims']) mkdirSync(path.join(lab.folder, name), { recursive: true, mode: 0o711 });
    const agent = new NodeAgent(api, lab);
    await api.watch<Pod>(paths.pods, (type, pod) => agent.#onPod(type, pod), agent.#abort.signal);
    return agent;
  }

  /** Those of a component that run here, drained ones included. */
  podsOf(component: string): readonly PodRun[] {
    return [...this.#pods.values()]
      .filter(({ pod }) => pod.metadata.labels?.['app.kubernetes.io/component'] === component)
      .map(({ run }) => run);
  }

  /** In words, for messages of tests that fail. */
  describe(): string {
    return [...this.#pods.values()]
      .map(({ run, isEnding }) => {
        const told = run.containers.map(({ name, state, isReady, restarts, lastEnding }) =>
          [JSON.stringify({ name, state, isReady, restarts, lastEnding }), ...run.lastLines(name, LINES_OF_A_LOG)].join(
            '\n    ',
          ),
        );
        return `${run.name}${isEnding ? ' (ends)' : ''}: ${run.problem ?? told.join('\n  ')}`;
      })
      .concat(this.problems)
      .join('\n');
  }

  /** Ends all pods at once. */
  async stop(): Promise<void> {
    this.#abort.abort();
    for (const { run } of this.#pods.values()) run.kill();
    const ends = await Promise.allSettled([...this.#pods.values()].map(({ run }) => run.terminate(0)));
    const failures = ends.filter((end) => end.status === 'rejected').map(({ reason }) => reason as Error);
    if (failures.length > 0) throw new AggregateError(failures, failures.map(({ message }) => message).join('; '));
  }

  #onPod(type: string, pod: Pod): void {
    const uid = pod.metadata.uid!;
    const entry = this.#pods.get(uid);
    if (type === 'DELETED') {
      if (entry !== undefined) void this.#end(uid, entry, 0);
      return;
    }
    if (entry !== undefined) entry.pod = pod;
    else if (pod.spec.nodeName !== undefined && pod.metadata.deletionTimestamp === undefined) this.#begin(uid, pod);
    else if (pod.spec.nodeName !== undefined && pod.metadata.deletionTimestamp !== undefined) void this.#forget(pod);
    if (entry !== undefined && pod.metadata.deletionTimestamp !== undefined)
      void this.#end(uid, entry, pod.metadata.deletionGracePeriodSeconds ?? DEFAULT_GRACE_SECONDS);
  }

  #begin(uid: string, pod: Pod): void {
    this.#count += 1;
    const index = this.#count;
    const name = pod.metadata.name;
    const isDraining = () => this.#pods.get(uid)?.isEnding ?? true;
    const run = new PodRun(pod, {
      api: this.#api,
      lab: this.#lab,
      index,
      place: { podIp: `10.244.${1 + Math.floor(index / 200)}.${1 + (index % 200)}`, hostIp: BRIDGE_ADDRESS },
      onChange: () => this.#report(uid),
      onEnding: (container, ending) => this.endings.push({ pod: name, container, ...ending }),
      onProbe: (container, kind, problem) =>
        this.probes.push({ pod: name, container, kind, problem, isDraining: isDraining() }),
    });
    this.#pods.set(uid, { run, pod, isEnding: false, sent: '', sending: Promise.resolve() });
    void this.#startUntilItDoes(uid);
  }

  async #startUntilItDoes(uid: string): Promise<void> {
    for (;;) {
      const entry = this.#pods.get(uid);
      if (entry === undefined || entry.isEnding || this.#abort.signal.aborted) return;
      await entry.run.start();
      if (entry.run.problem === null) return;
      await pause(RETRY_MS);
    }
  }

  async #end(uid: string, entry: Entry, graceSeconds: number): Promise<void> {
    if (entry.isEnding) return;
    entry.isEnding = true;
    this.#report(uid);
    try {
      await entry.run.terminate(graceSeconds);
      await entry.sending;
    } catch (caught) {
      this.problems.push(`${entry.run.name}: ${(caught as Error).message}`);
    }
    this.#pods.delete(uid);
    await this.#forget(entry.pod);
  }

  /** The node's last word on a pod: the API server removes it. */
  async #forget({ metadata }: Pod): Promise<void> {
    const preconditions = { uid: metadata.uid };
    await this.#api
      .delete(paths.pod(metadata.name), { gracePeriodSeconds: 0, preconditions })
      .catch((caught) => this.#unlessGone(caught, metadata.name));
  }

  /** Sends the status of a pod, one after the other and only what is new. */
  #report(uid: string): void {
    const entry = this.#pods.get(uid);
    if (entry === undefined || this.#abort.signal.aborted) return;
    entry.sending = entry.sending.then(async () => {
      const status = entry.run.status();
      const text = JSON.stringify(status);
      if (text === entry.sent) return;
      entry.sent = text;
      const { name } = entry.pod.metadata;
      const body = { metadata: { uid }, status };
      await this.#api.patch(`${paths.pod(name)}/status`, body).catch((caught) => this.#unlessGone(caught, name));
    });
  }

  #unlessGone(caught: unknown, name: string): void {
    const isGone = caught instanceof KubeApiError && [404, 409].includes(caught.status);
    if (!isGone && !this.#abort.signal.aborted) this.problems.push(`${name}: ${(caught as Error).message}`);
  }
}
