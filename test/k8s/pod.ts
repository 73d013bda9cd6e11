// One pod on a simulated node, as its kubelet would run it: network, volumes, init containers, containers, status, and its
// end within the grace period.
import { existsSync, mkdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { ContainerRun, type Ending, type ProbeKind } from './container.ts';
import { mappedEnv, programOf } from './images.ts';
import type { KubeApi } from './kube-api.ts';
import type { Condition, Container, Pod } from './kube-objects.ts';
import type { Lab } from './lab.ts';
import { containerEnv, type PodPlace } from './pod-env.ts';
import { prepareVolumes } from './pod-volumes.ts';
import { ask } from './probes.ts';
import { PodSandbox, startContainer } from './sandbox.ts';

export interface PodSettings {
  readonly api: KubeApi;
  readonly lab: Lab;
  readonly index: number;
  readonly place: PodPlace;
  onChange(): void;
  onEnding(container: string, ending: Ending): void;
  onProbe(container: string, kind: ProbeKind, problem: string | null): void;
}

export class PodRun {
  readonly name: string;
  readonly folder: string;
  readonly #pod: Pod;
  readonly #settings: PodSettings;
  readonly #containers: ContainerRun[] = [];
  readonly #since = new Map<string, Condition>();
  readonly #startTime = new Date().toISOString();
  #sandbox: PodSandbox | null = null;
  #problem: string | null = null;
  #isEnding = false;
  #starting: Promise<void> = Promise.resolve();

  constructor(pod: Pod, settings: PodSettings) {
    this.#pod = pod;
    this.#settings = settings;
    this.name = pod.metadata.name;
    this.folder = path.join(settings.lab.folder, 'pods', pod.metadata.uid!);
  }

  get containers(): readonly ContainerRun[] {
    return this.#containers;
  }

  get address(): string {
    return this.#settings.place.podIp;
  }

  /** Why it cannot be started, as things are: a ConfigMap or Secret that is not there yet. */
  get problem(): string | null {
    return this.#problem;
  }

  logFile(container: string): string {
    return path.join(this.folder, `${container}.log`);
  }

  lastLines(container: string, count: number): readonly string[] {
    const file = this.logFile(container);
    return existsSync(file) ? readFileSync(file, 'utf8').trimEnd().split('\n').slice(-count) : [];
  }

  /** Asks a probe of its first container now, as its manifest states it. @returns null when it is well, else what is not. */
  ask(probe: 'readinessProbe' | 'livenessProbe'): Promise<string | null> {
    const [container] = this.#pod.spec.containers;
    return ask(container[probe]!, container, this.address, this.#containers[0]?.pid ?? 0);
  }

  /** Starts it; where something that it names is not there, it says so (`problem`) and may be asked again. */
  start(): Promise<void> {
    this.#starting = this.#start();
    return this.#starting;
  }

  /** Resolves when all of it is gone. */
  async terminate(graceSeconds: number): Promise<void> {
    this.#isEnding = true;
    await this.#starting;
    await Promise.all(this.#containers.map((container) => container.terminate(graceSeconds)));
    this.#sandbox?.remove();
    this.#sandbox = null;
  }

  kill(): void {
    for (const container of this.#containers) container.kill();
  }

  /** What the API server is told. */
  status(): object {
    const containers = this.#containers;
    const isReady = containers.length > 0 && containers.every((container) => container.isReady) && !this.#isEnding;
    const states = { Initialized: containers.length > 0, ContainersReady: isReady, Ready: isReady };
    const conditions = Object.entries(states).map(([type, holds]) => this.#condition(type, holds));
    const scheduled = (this.#pod.status.conditions ?? []).filter(({ type }) => type === 'PodScheduled');
    const hasStarted = containers.some(({ startedAt }) => startedAt !== '');
    return {
      phase: hasStarted ? 'Running' : 'Pending',
      startTime: this.#startTime,
      hostIP: this.#settings.place.hostIp,
      podIP: this.address,
      podIPs: [{ ip: this.address }],
      conditions: [...scheduled, ...conditions],
      containerStatuses: containers.map((container) => statusOf(container)),
    };
  }

  async #start(): Promise<void> {
    const { api, lab, index } = this.#settings;
    const { spec } = this.#pod;
    try {
      // Users of containers must be able to pass, and to read nothing else.
      mkdirSync(this.folder, { recursive: true, mode: 0o711 });
      const volumes = await prepareVolumes(
        api,
        this.#pod,
        path.join(this.folder, 'volumes'),
        path.join(lab.folder, 'claims'),
      );
      this.#sandbox ??= await PodSandbox.start(index, this.address);
      const sandbox = this.#sandbox;
      const run = async (container: Container): Promise<ContainerRun> => {
        const env = mappedEnv(await containerEnv(api, this.#pod, container, this.#settings.place));
        const program = programOf(lab, container);
        const folder = path.join(this.folder, container.name);
        mkdirSync(folder, { recursive: true });
        return new ContainerRun({
          container,
          address: this.address,
          logFile: this.logFile(container.name),
          launch: () => startContainer({ folder, pod: this.#pod, container, program, env, volumes, sandbox }),
          onChange: this.#settings.onChange,
          onEnding: (ending) => this.#settings.onEnding(container.name, ending),
          onProbe: (kind, problem) => this.#settings.onProbe(container.name, kind, problem),
        });
      };
      for (const container of spec.initContainers ?? []) await (await run(container)).runOnce();
      const containers = await Promise.all(spec.containers.map(run));
      this.#problem = null;
      if (this.#isEnding) return;
      this.#containers.push(...containers);
      for (const container of containers) container.start();
    } catch (caught) {
      this.#problem = (caught as Error).message;
    }
    this.#settings.onChange();
  }

  #condition(type: string, holds: boolean): Condition {
    const status = holds ? 'True' : 'False';
    const before = this.#since.get(type);
    if (before?.status === status) return before;
    const condition = { type, status, lastTransitionTime: new Date().toISOString() };
    this.#since.set(type, condition);
    return condition;
  }
}

function statusOf(container: ContainerRun): object {
  const { name, image, state, startedAt, isReady, isStarted, restarts, lastEnding } = container;
  const ended = {
    exitCode: lastEnding?.code ?? 137,
    reason: lastEnding?.code === 0 ? 'Completed' : 'Error',
    startedAt: startedAt || null,
    finishedAt: new Date().toISOString(),
  };
  const told = {
    waiting: { waiting: { reason: restarts > 0 ? 'CrashLoopBackOff' : 'ContainerCreating' } },
    running: { running: { startedAt } },
    draining: { running: { startedAt } },
    terminated: { terminated: ended },
  };
  return {
    ...{ name, image, imageID: image, ready: isReady, started: isStarted, restartCount: restarts },
    state: told[state],
    lastState: restarts > 0 ? { terminated: ended } : {},
  };
}
