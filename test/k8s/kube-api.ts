// The API server as the node agent and the tests speak to it: JSON over HTTPS with the administrator's certificate.
import { readFileSync } from 'node:fs';
import { Agent, request } from 'node:https';
import { createInterface } from 'node:readline';
import { setTimeout as pause } from 'node:timers/promises';
import { parse } from 'yaml';
import type { KubeObject } from './kube-objects.ts';

const REQUEST_MS = 30_000;
const RETRY_MS = 200;

export class KubeApiError extends Error {
  readonly status: number;

  constructor(status: number, what: string, message: string) {
    super(`${what}: ${status} ${message}`);
    this.status = status;
  }
}

export type Change<T> = (type: 'ADDED' | 'MODIFIED' | 'DELETED', object: T) => void;

interface Kubeconfig {
  readonly clusters: readonly { readonly cluster: { readonly server: string; 'certificate-authority': string } }[];
  readonly users: readonly { readonly user: { 'client-certificate': string; 'client-key': string } }[];
}

interface Call {
  readonly body?: unknown;
  readonly type?: string;
}

export class KubeApi {
  readonly #server: string;
  readonly #agent: Agent;

  /** @param kubeconfig that names its certificates by file. */
  constructor(kubeconfig: string) {
    const { clusters, users } = parse(readFileSync(kubeconfig, 'utf8')) as Kubeconfig;
    const { user } = users[0];
    this.#server = clusters[0].cluster.server;
    this.#agent = new Agent({
      keepAlive: true,
      ca: readFileSync(clusters[0].cluster['certificate-authority']),
      cert: readFileSync(user['client-certificate']),
      key: readFileSync(user['client-key']),
    });
  }

  get<T extends KubeObject>(path: string): Promise<T> {
    return this.#call('GET', path) as Promise<T>;
  }

  /** Null where there is none. */
  async find<T extends KubeObject>(path: string): Promise<T | null> {
    try {
      return await this.get<T>(path);
    } catch (caught) {
      if (caught instanceof KubeApiError && caught.status === 404) return null;
      throw caught;
    }
  }

  async list<T extends KubeObject>(path: string): Promise<readonly T[]> {
    return ((await this.#call('GET', path)) as { items: readonly T[] }).items;
  }

  create(path: string, body: unknown): Promise<unknown> {
    return this.#call('POST', path, { body });
  }

  /** A JSON merge patch (RFC 7386). */
  patch(path: string, body: unknown): Promise<unknown> {
    return this.#call('PATCH', path, { body, type: 'application/merge-patch+json' });
  }

  delete(path: string, body: unknown = {}): Promise<unknown> {
    return this.#call('DELETE', path, { body });
  }

  /** Tells of every object that is there and of each change, until `signal` is aborted. Resolves when the first are told. */
  async watch<T extends KubeObject>(path: string, onChange: Change<T>, signal: AbortSignal): Promise<void> {
    const known = new Map<string, T>();
    const relist = async (): Promise<string> => {
      const { items, metadata } = (await this.#call('GET', path)) as {
        items: readonly T[];
        metadata: { resourceVersion: string };
      };
      const names = new Set(items.map(keyOf));
      for (const [key, object] of known) if (!names.has(key)) tell('DELETED', object);
      for (const item of items) tell(known.has(keyOf(item)) ? 'MODIFIED' : 'ADDED', item);
      return metadata.resourceVersion;
    };
    const tell: Change<T> = (type, object) => {
      if (type === 'DELETED') known.delete(keyOf(object));
      else known.set(keyOf(object), object);
      onChange(type, object);
    };
    const first = await relist();
    const follow = async (): Promise<void> => {
      let version: string | null = first;
      while (!signal.aborted) {
        try {
          version ??= await relist();
          version = await this.#stream(path, version, tell, signal);
        } catch {
          version = null;
          await pause(RETRY_MS, undefined, { signal }).catch(() => {});
        }
      }
    };
    void follow();
  }

  close(): void {
    this.#agent.destroy();
  }

  /** @returns the version to go on from; null when it is too old for that. */
  #stream<T extends KubeObject>(
    path: string,
    from: string,
    tell: Change<T>,
    signal: AbortSignal,
  ): Promise<string | null> {
    const url = new URL(path, this.#server);
    for (const [name, value] of Object.entries({ watch: '1', resourceVersion: from, allowWatchBookmarks: 'true' }))
      url.searchParams.set(name, value);
    return new Promise((resolve, reject) => {
      let version: string | null = from;
      const call = request(url, { agent: this.#agent, signal }, (response) => {
        if (response.statusCode !== 200) {
          response.resume();
          resolve(null);
          return;
        }
        const lines = createInterface({ input: response });
        lines.on('line', (line) => {
          const { type, object } = JSON.parse(line) as { type: string; object: T };
          if (type === 'ERROR') version = null;
          else version = object.metadata.resourceVersion ?? version;
          if (type === 'ADDED' || type === 'MODIFIED' || type === 'DELETED') tell(type, object);
        });
        lines.on('error', reject);
        lines.on('close', () => resolve(version));
        response.on('error', reject);
      });
      call.on('error', reject);
      call.end();
    });
  }

  #call(method: string, path: string, { body, type = 'application/json' }: Call = {}): Promise<unknown> {
    const text = body === undefined ? undefined : JSON.stringify(body);
    const headers = text === undefined ? {} : { 'content-type': type, 'content-length': Buffer.byteLength(text) };
    return new Promise((resolve, reject) => {
      const call = request(
        new URL(path, this.#server),
        { method, agent: this.#agent, headers, timeout: REQUEST_MS },
        (response) => {
          const chunks: Buffer[] = [];
          response.on('data', (chunk: Buffer) => chunks.push(chunk));
          response.on('error', reject);
          response.on('end', () => {
            const answer = Buffer.concat(chunks).toString();
            const status = response.statusCode ?? 0;
            if (status >= 300) reject(new KubeApiError(status, `${method} ${path}`, messageIn(answer)));
            else resolve(JSON.parse(answer));
          });
        },
      );
      call.on('timeout', () => call.destroy(new Error(`${method} ${path}: no answer in ${REQUEST_MS} ms`)));
      call.on('error', reject);
      call.end(text);
    });
  }
}

function keyOf({ metadata }: KubeObject): string {
  return metadata.uid ?? `${metadata.namespace}/${metadata.name}`;
}

function messageIn(answer: string): string {
  try {
    return (JSON.parse(answer) as { message?: string }).message ?? answer;
  } catch {
    return answer;
  }
}
