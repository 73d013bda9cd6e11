// The plain HTTP port of a process, for whoever watches it: /metrics, /healthz, /readyz. It answers GET and HEAD, reads no
// body, keeps few connections and none for long. It tells nothing that is secret, and has no TLS: it listens on loopback
// unless told otherwise.
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { EspalierError } from '../errors.ts';
import type { ProcessMetrics } from './process-metrics.ts';

const MAX_CONNECTIONS = 64;
const REQUEST_MS = 10_000;
const MAX_HEADER_BYTES = 8 * 1024;

export interface HttpPortOptions {
  readonly host: string;
  /** 0 takes any free port: whoever wants none does not call. */
  readonly port: number;
  readonly metrics: ProcessMetrics;
  /** null when the process can do its work, else a few words that say what it lacks. */
  readonly notReady: () => string | null;
}

export interface HttpPort {
  readonly port: number;
  close(): Promise<void>;
}

/** Starts to serve. @throws EspalierError "usage" when the port cannot be had. */
export async function startHttpPort(options: HttpPortOptions): Promise<HttpPort> {
  const { host, port } = options;
  const server = createServer({ maxHeaderSize: MAX_HEADER_BYTES, requestTimeout: REQUEST_MS }, (request, response) => {
    void answer(options, request, response);
  });
  server.maxConnections = MAX_CONNECTIONS;
  server.headersTimeout = REQUEST_MS;
  server.keepAliveTimeout = REQUEST_MS;
  server.setTimeout(2 * REQUEST_MS);
  await listen(server, host, port);
  // A scrape must not keep a process that has nothing else to do.
  server.unref();
  return {
    port: (server.address() as AddressInfo).port,
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}

async function answer(options: HttpPortOptions, request: IncomingMessage, response: ServerResponse): Promise<void> {
  const { method = '', url = '' } = request;
  // Whatever body comes is not for us: the connection ends with the answer.
  if (request.headers['content-length'] !== undefined || request.headers['transfer-encoding'] !== undefined)
    response.setHeader('connection', 'close');
  if (method !== 'GET' && method !== 'HEAD') {
    response.setHeader('allow', 'GET, HEAD').setHeader('connection', 'close');
    send(response, 405, 'only GET and HEAD\n');
    return;
  }
  const [path] = url.split('?', 1);
  if (path === '/healthz') send(response, 200, 'ok\n');
  else if (path === '/readyz') {
    const reason = options.notReady();
    send(response, reason === null ? 200 : 503, `${reason ?? 'ok'}\n`);
  } else if (path === '/metrics') {
    const { registry } = options.metrics;
    try {
      send(response, 200, await registry.metrics(), registry.contentType);
    } catch {
      send(response, 500, 'a metric could not be read\n');
    }
  } else send(response, 404, 'there are /metrics, /healthz and /readyz\n');
}

function send(response: ServerResponse, status: number, text: string, type = 'text/plain; charset=utf-8'): void {
  response.writeHead(status, {
    'content-type': type,
    'content-length': Buffer.byteLength(text),
    'cache-control': 'no-store',
    'x-content-type-options': 'nosniff',
  });
  // Node sends no body for HEAD.
  response.end(text);
}

function listen(server: Server, host: string, port: number): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once('error', (error: NodeJS.ErrnoException) => {
      const reason = error.code === 'EADDRINUSE' ? 'is in use' : `cannot be listened on: ${error.message}`;
      const address = host.includes(':') ? `[${host}]:${port}` : `${host}:${port}`;
      const action = 'choose another --metrics-port, or 0 for none';
      reject(new EspalierError('usage', `metrics on ${address}: the port ${reason}`, { action, cause: error }));
    });
    server.listen(port, host, () => {
      server.removeAllListeners('error');
      server.on('error', () => {});
      resolve();
    });
  });
}
