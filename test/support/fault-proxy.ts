// A TCP proxy between two processes whose connections a test breaks: cut, refused, slow, narrow, or half-open.
//
// Each new connection is handled as the faults say at that moment; delay, bandwidth and silence also reach the standing
// ones. Bytes are never changed or put into another order. What is held back is bounded by the sockets' own buffers: the
// side that is read from is paused while bytes wait.
import { createServer, type Server, Socket } from 'node:net';
import { setTimeout as pause } from 'node:timers/promises';

export interface ProxyFaults {
  /** New connections are closed at once. */
  readonly refuse: boolean;
  /** Each piece of data waits for this long before it is passed on, in either direction. */
  readonly delayMs: number;
  /** Bytes a second that pass in either direction of one connection; null: as many as come. */
  readonly bytesPerSecond: number | null;
  /** Connections stay open, new ones are accepted, and nothing passes: as when a cable is pulled. */
  readonly silent: boolean;
}

const NO_FAULTS: ProxyFaults = { refuse: false, delayMs: 0, bytesPerSecond: null, silent: false };

/** How often a silent or slow connection looks whether it still is. */
const LOOK_MS = 5;

export class FaultProxy {
  readonly port: number;
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();
  #targetPort: number;
  #faults = NO_FAULTS;
  #accepted = 0;
  #bytes = 0;

  private constructor(server: Server, targetPort: number) {
    this.#server = server;
    this.#targetPort = targetPort;
    this.port = (server.address() as { port: number }).port;
    server.on('connection', (client) => this.#accept(client));
  }

  /** A proxy on a free port of loopback. @param targetPort 0: given later by `target`. */
  static async open(targetPort = 0): Promise<FaultProxy> {
    const server = createServer({ noDelay: true, allowHalfOpen: true });
    await new Promise<void>((resolve, reject) => {
      server.once('error', reject).listen(0, '127.0.0.1', resolve);
    });
    return new FaultProxy(server, targetPort);
  }

  get address(): string {
    return `127.0.0.1:${this.port}`;
  }

  /** Connections that are open now, both halves counting as one. */
  get open(): number {
    return Math.ceil(this.#sockets.size / 2);
  }

  /** Connections that were ever accepted. */
  get accepted(): number {
    return this.#accepted;
  }

  /** Bytes passed on so far, both directions together. */
  get bytes(): number {
    return this.#bytes;
  }

  target(port: number): void {
    this.#targetPort = port;
  }

  /** Replaces the faults by these; those left out do not hold. */
  set(faults: Partial<ProxyFaults>): void {
    this.#faults = { ...NO_FAULTS, ...faults };
  }

  heal(): void {
    this.#faults = NO_FAULTS;
  }

  /** Breaks all standing connections at once, with a reset. New ones are as the faults say. @returns how many. */
  cut(): number {
    const broken = this.open;
    for (const socket of this.#sockets) socket.resetAndDestroy();
    return broken;
  }

  async close(): Promise<void> {
    const closed = new Promise<void>((resolve) => this.#server.close(() => resolve()));
    for (const socket of this.#sockets) socket.destroy();
    await closed;
  }

  #accept(client: Socket): void {
    this.#accepted += 1;
    if (this.#faults.refuse) {
      client.on('error', () => {});
      client.resetAndDestroy();
      return;
    }
    const server = new Socket({ allowHalfOpen: true });
    server.setNoDelay(true).connect(this.#targetPort, '127.0.0.1');
    for (const [socket, other] of [
      [client, server],
      [server, client],
    ] as const) {
      this.#sockets.add(socket);
      socket.on('error', () => {});
      socket.once('close', () => {
        this.#sockets.delete(socket);
        // What the other side has not read yet still reaches it.
        other.destroySoon();
      });
    }
    void this.#pass(client, server);
    void this.#pass(server, client);
  }

  async #pass(from: Socket, to: Socket): Promise<void> {
    try {
      for await (const chunk of from.iterator({ destroyOnReturn: false }) as AsyncIterable<Buffer>) {
        const { delayMs, bytesPerSecond } = this.#faults;
        if (delayMs > 0) await pause(delayMs);
        if (bytesPerSecond !== null) await pause((chunk.length / bytesPerSecond) * 1_000);
        while (this.#faults.silent && !to.destroyed) await pause(LOOK_MS);
        if (to.destroyed) return;
        this.#bytes += chunk.length;
        if (!to.write(chunk)) await drained(to);
      }
      to.end();
    } catch {
      // Reset or cut: the other half is closed by its listener.
    }
  }
}

function drained(socket: Socket): Promise<void> {
  return new Promise((resolve) => {
    const done = () => {
      socket.off('drain', done).off('close', done);
      resolve();
    };
    socket.once('drain', done).once('close', done);
  });
}
