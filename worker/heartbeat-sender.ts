// Tells coordinators that this worker is there: every two seconds, at once when its state changes, and shortly after its
// tasks or models did. serving → draining → gone; after "gone" nothing more is said.
import { hostname } from 'node:os';
import type { Bus } from '../shared/bus/bus.ts';
import { HEARTBEAT_MS, HEARTBEAT_SCHEMA, type Heartbeat, WORKER_SUBJECT } from '../shared/bus/heartbeat.ts';
import { PROTOCOL_VERSION } from '../shared/rpc/protocol.ts';
import { espalierVersion } from '../shared/rpc/version.ts';
import type { TaskExecutor } from './task-executor.ts';

/** Tasks come and go many times a second: news of them wait for each other. */
const NEWS_MS = 200;
const MOST_MODELS = 64;

export interface HeartbeatParts {
  readonly bus: Pick<Bus, 'publish' | 'onReconnect'>;
  /** host:port under which coordinators reach this worker. */
  readonly address: string;
  readonly executor: Pick<TaskExecutor, 'describe' | 'models'>;
  readonly server: { readonly instanceId: string; readonly tasks: number; readonly taskLimit: number };
}

export class HeartbeatSender {
  readonly #parts: HeartbeatParts;
  readonly #timer: NodeJS.Timeout;
  readonly #forgetReconnect: () => void;
  #news: NodeJS.Timeout | undefined;
  #state: Heartbeat['state'] = 'serving';

  constructor(parts: HeartbeatParts) {
    this.#parts = parts;
    this.#timer = setInterval(() => this.#beat(), HEARTBEAT_MS);
    this.#forgetReconnect = parts.bus.onReconnect(() => this.#beat());
    this.#beat();
  }

  /** Tasks or models have changed. */
  changed(): void {
    if (this.#state === 'gone') return;
    this.#news ??= setTimeout(() => this.#beat(), NEWS_MS);
  }

  draining(): void {
    if (this.#state === 'serving') this.#enter('draining');
  }

  /** The last word; harmless when called again. */
  gone(): void {
    if (this.#state === 'gone') return;
    clearInterval(this.#timer);
    this.#forgetReconnect();
    this.#enter('gone');
  }

  #enter(state: Heartbeat['state']): void {
    this.#state = state;
    this.#beat();
  }

  #beat(): void {
    clearTimeout(this.#news);
    this.#news = undefined;
    const { bus, address, executor, server } = this.#parts;
    const heartbeat: Heartbeat = {
      schema: HEARTBEAT_SCHEMA,
      instanceId: server.instanceId,
      address,
      version: espalierVersion(),
      protocolVersion: PROTOCOL_VERSION,
      ...executor.describe(),
      host: hostname(),
      state: this.#state,
      tasks: server.tasks,
      taskLimit: server.taskLimit,
      models: executor.models().slice(-MOST_MODELS),
    };
    bus.publish(`${WORKER_SUBJECT}.${server.instanceId}`, new TextEncoder().encode(JSON.stringify(heartbeat)));
  }
}
