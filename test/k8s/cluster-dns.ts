// The cluster's DNS: the names of services lead to the addresses of their ready pods, as the API server's EndpointSlices
// have them. It stands for kube-dns, and, since a ClusterIP would lead to the same pods, for kube-proxy too.
import { createSocket, type Socket } from 'node:dgram';
import type { KubeApi } from './kube-api.ts';
import type { EndpointSlice, Service } from './kube-objects.ts';
import { NAMESPACE, paths } from './names.ts';

const DOMAIN = `.${NAMESPACE}.svc.cluster.local`;
const [HEADER_BYTES, TYPE_A, CLASS_IN] = [12, 1, 1];
const NO_SUCH_NAME = 3;
const AUTHORITATIVE_ANSWER = 0x8500;
/** Of the label that stands for "the name that was asked for" in an answer. */
const POINTER_TO_QUESTION = 0xc000 | HEADER_BYTES;

export class ClusterDns {
  readonly #slices = new Map<string, EndpointSlice>();
  readonly #services = new Map<string, Service>();

  private constructor(socket: Socket) {
    socket.on('message', (question, { port, address }) => {
      const answer = this.#answer(question);
      if (answer !== null) socket.send(answer, port, address);
    });
  }

  /** Serves until `signal` is aborted. */
  static async start(api: KubeApi, address: string, signal: AbortSignal): Promise<ClusterDns> {
    const socket = createSocket('udp4');
    await new Promise<void>((resolve, reject) => {
      socket.once('error', reject).bind(53, address, () => resolve());
    });
    signal.addEventListener('abort', () => socket.close(), { once: true });
    const dns = new ClusterDns(socket);
    await api.watch<Service>(paths.services, keep(dns.#services), signal);
    await api.watch<EndpointSlice>(paths.endpointSlices, keep(dns.#slices), signal);
    return dns;
  }

  /** Addresses of a service's name below the namespace ("coordinator", "nats-0.nats-headless"); null: no such name. */
  addresses(name: string): readonly string[] | null {
    const [service, hostname] = name.split('.').reverse();
    const found = this.#services.get(service);
    if (found === undefined) return null;
    const all = found.spec.publishNotReadyAddresses === true;
    const endpoints = [...this.#slices.values()]
      .filter(({ metadata }) => metadata.labels?.['kubernetes.io/service-name'] === service)
      .flatMap((slice) => slice.endpoints ?? [])
      .filter((endpoint) => hostname === undefined || endpoint.hostname === hostname)
      .filter(({ conditions }) => all || conditions?.ready !== false);
    return hostname !== undefined && endpoints.length === 0 ? null : endpoints.flatMap(({ addresses }) => addresses);
  }

  #answer(question: Buffer): Buffer | null {
    if (question.length < HEADER_BYTES || question.readUInt16BE(4) !== 1) return null;
    const labels: string[] = [];
    let at = HEADER_BYTES;
    while (at < question.length && question[at] !== 0) {
      labels.push(question.toString('latin1', at + 1, at + 1 + question[at]));
      at += question[at] + 1;
    }
    const end = at + 5;
    const name = labels.join('.').toLowerCase();
    const found = name.endsWith(DOMAIN) ? this.addresses(name.slice(0, -DOMAIN.length)) : null;
    const addresses = question.readUInt16BE(at + 1) === TYPE_A ? (found ?? []) : [];
    const header = Buffer.alloc(HEADER_BYTES);
    const fields = [question.readUInt16BE(0), AUTHORITATIVE_ANSWER | (found === null ? NO_SUCH_NAME : 0), 1];
    for (const [index, field] of [...fields, addresses.length].entries()) header.writeUInt16BE(field, 2 * index);
    return Buffer.concat([header, question.subarray(HEADER_BYTES, end), ...addresses.map(recordOf)]);
  }
}

function recordOf(address: string): Buffer {
  const record = Buffer.alloc(16);
  for (const [index, field] of [POINTER_TO_QUESTION, TYPE_A, CLASS_IN].entries())
    record.writeUInt16BE(field, 2 * index);
  // A time to live of 0 seconds: whoever asks again sees the pods of now.
  record.writeUInt16BE(4, 10);
  record.set(address.split('.').map(Number), 12);
  return record;
}

function keep<T extends Service | EndpointSlice>(into: Map<string, T>) {
  return (type: string, object: T): void => {
    if (type === 'DELETED') into.delete(object.metadata.name);
    else into.set(object.metadata.name, object);
  };
}
