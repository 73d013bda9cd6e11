// Heartbeats as they come in: written by a peer, so every field is checked before anything is done with it.
import { HEARTBEAT_SCHEMA, type Heartbeat, WORKER_SUBJECT } from '../../shared/bus/heartbeat.ts';
import { isAddress } from '../../shared/rpc/address.ts';
import type { DeviceClass } from '../../shared/rpc/protocol.ts';

const MAX_BYTES = 32 * 1024;
const MAX_TEXT = 128;
const MAX_MODELS = 64;
const MAX_TASKS = 1e6;

const INSTANCE_ID = /^[0-9A-Za-z-]{1,64}$/;
const DIGEST = /^[0-9a-f]{64}$/;

/** @returns what the message says, or why it is none of a worker. */
export function readHeartbeat(subject: string, payload: Uint8Array): Heartbeat | string {
  if (payload.byteLength > MAX_BYTES) return `got ${payload.byteLength} bytes, expected at most ${MAX_BYTES}`;
  let value: Partial<Record<keyof Heartbeat, unknown>> | null;
  try {
    value = JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(payload)) as typeof value;
  } catch {
    return 'got no JSON';
  }
  if (typeof value !== 'object' || value === null) return 'got no object';
  if (value.schema !== HEARTBEAT_SCHEMA) return `got schema ${shown(value.schema)}, expected ${HEARTBEAT_SCHEMA}`;
  const problem = Object.entries(CHECKS).find(([name, isRight]) => !isRight(value[name as keyof Heartbeat]));
  if (problem !== undefined) return `${problem[0]}: got ${shown(value[problem[0] as keyof Heartbeat])}`;
  if (subject !== `${WORKER_SUBJECT}.${value.instanceId}`) return 'got the name of another worker';
  return value as unknown as Heartbeat;
}

const isText = (value: unknown) => typeof value === 'string' && value.length > 0 && value.length <= MAX_TEXT;
const isCount = (value: unknown, most: number) =>
  typeof value === 'number' && Number.isSafeInteger(value) && value >= 0 && value <= most;

const CHECKS: Record<Exclude<keyof Heartbeat, 'schema'>, (value: unknown) => boolean> = {
  instanceId: (value) => typeof value === 'string' && INSTANCE_ID.test(value),
  address: (value) => typeof value === 'string' && isAddress(value),
  version: isText,
  protocolVersion: (value) => isCount(value, 1e6),
  deviceClass: isDeviceClass,
  memoryBytes: (value) => isCount(value, Number.MAX_SAFE_INTEGER),
  host: isText,
  state: (value) => value === 'serving' || value === 'draining' || value === 'gone',
  tasks: (value) => isCount(value, MAX_TASKS),
  taskLimit: (value) => isCount(value, MAX_TASKS),
  models: (value) =>
    Array.isArray(value) && value.length <= MAX_MODELS && value.every((digest) => DIGEST.test(String(digest))),
};

function isDeviceClass(value: unknown): boolean {
  if (typeof value !== 'object' || value === null) return false;
  const { kind, model, intraOpThreads, tensorflowVersion, kernels, tf32, memoryGb } = value as Partial<
    Record<keyof DeviceClass, unknown>
  >;
  const texts = [kind, model, tensorflowVersion, kernels];
  const areCounts = isCount(intraOpThreads, 65536) && isCount(memoryGb, 1e6);
  return texts.every(isText) && areCounts && typeof tf32 === 'boolean';
}

function shown(value: unknown): string {
  return (JSON.stringify(value) ?? 'nothing').slice(0, 80);
}
