// The questions that a kubelet asks a container: over gRPC (without TLS, as kubelets do), HTTP, TCP, or by a command in it.
import { execFile } from 'node:child_process';
import { connect } from 'node:net';
import { credentials, loadPackageDefinition, type ServiceClientConstructor } from '@grpc/grpc-js';
import { loadSync } from '@grpc/proto-loader';
import { protoPath } from 'grpc-health-check';
import type { Container, Probe } from './kube-objects.ts';

interface HealthPackage {
  readonly grpc: { readonly health: { readonly v1: { readonly Health: ServiceClientConstructor } } };
}

const definition = loadSync(protoPath, { keepCase: true, enums: String });
const { Health } = (loadPackageDefinition(definition) as unknown as HealthPackage).grpc.health.v1;

/** Asks once. @param pid of the container's first process, for commands. @returns null when it is well, else what is not. */
export async function ask(probe: Probe, container: Container, address: string, pid: number): Promise<string | null> {
  const timeoutMs = (probe.timeoutSeconds ?? 1) * 1000;
  const { grpc, httpGet, tcpSocket, exec } = probe;
  if (grpc) return askGrpc(`${address}:${grpc.port}`, grpc.service ?? '', timeoutMs);
  if (httpGet) return askHttp(`http://${address}:${portOf(container, httpGet.port)}${httpGet.path ?? '/'}`, timeoutMs);
  if (tcpSocket) return askTcp(address, portOf(container, tcpSocket.port), timeoutMs);
  return runIn(pid, exec!.command, timeoutMs);
}

/** Runs a command in a container. @returns null when it ends with 0. */
export function runIn(pid: number, command: readonly string[], timeout: number): Promise<string | null> {
  const inside = ['--target', String(pid), '--mount', '--net', '--pid', '--ipc', '--uts', '--root', '--wd', '--'];
  return new Promise((resolve) => {
    execFile('nsenter', [...inside, ...command], { timeout, killSignal: 'SIGKILL' }, (error, _stdout, stderr) =>
      resolve(error === null ? null : `${command[0]}: ${stderr.trim() || error.message}`),
    );
  });
}

function askGrpc(address: string, service: string, timeoutMs: number): Promise<string | null> {
  const client = new Health(address, credentials.createInsecure());
  return new Promise<string | null>((resolve) => {
    const deadline = Date.now() + timeoutMs;
    client.check({ service }, { deadline }, (error: Error | null, answer?: { status: string }) => {
      if (error) resolve(error.message);
      else resolve(answer?.status === 'SERVING' ? null : `${service || 'the process'} is ${answer?.status}`);
    });
  }).finally(() => client.close());
}

async function askHttp(url: string, timeoutMs: number): Promise<string | null> {
  try {
    const response = await fetch(url, { signal: AbortSignal.timeout(timeoutMs) });
    const text = await response.text();
    return response.status >= 200 && response.status < 400 ? null : `${response.status} ${text.slice(0, 200)}`;
  } catch (caught) {
    return String(caught);
  }
}

function askTcp(host: string, port: number, timeout: number): Promise<string | null> {
  return new Promise((resolve) => {
    const socket = connect({ host, port, timeout });
    const end = (problem: string | null) => {
      socket.destroy();
      resolve(problem);
    };
    socket.once('connect', () => end(null));
    socket.once('timeout', () => end(`${host}:${port}: no answer`));
    socket.once('error', (error) => end(error.message));
  });
}

function portOf({ name, ports }: Container, port: number | string): number {
  if (typeof port === 'number') return port;
  const found = ports?.find((candidate) => candidate.name === port);
  if (found === undefined) throw new Error(`container ${name} has no port ${port}`);
  return found.containerPort;
}
