// Everything that is kept in NATS: names, subjects and settings of each stream and bucket, in JetStream's own JSON
// (docs/cluster.md). Buckets are streams named KV_ and OBJ_, laid out so that stock tools read them.

/** How much each may take: chosen ones as they are, the others at most so much when they are made. A full log drops its
 * oldest; the others refuse more. */
export interface BusLimits {
  readonly storeBytes: number;
  readonly jobsBytes: number;
  readonly leasesBytes: number;
  readonly wakeBytes: number;
  readonly eventsBytes: number;
  readonly eventsAgeMs: number;
  readonly eventsPerJob: number;
  /** Servers that keep a copy of each. */
  readonly replicas: number;
}

export const DEFAULT_LIMITS: BusLimits = {
  storeBytes: 100e9,
  jobsBytes: 1e9,
  leasesBytes: 64e6,
  wakeBytes: 256e6,
  eventsBytes: 2e9,
  eventsAgeMs: 14 * 86_400_000,
  eventsPerJob: 5_000,
  replicas: 1,
};

export const JOBS_BUCKET = 'espalier_jobs';
export const LEASES_BUCKET = 'espalier_leases';
export const OBJECTS_BUCKET = 'espalier_blobs';
export const OBJECTS_STREAM = `OBJ_${OBJECTS_BUCKET}`;
export const WAKE_STREAM = 'ESPALIER_WAKE';
export const WAKE_SUBJECT = 'espalier.wake';
export const WAKE_CONSUMER = 'coordinators';
export const EVENTS_STREAM = 'ESPALIER_EVENTS';
export const EVENTS_SUBJECT = 'espalier.events';

/** How long a token that its holder neither renews nor ends stays with it. */
export const ACK_WAIT_MS = 30_000;

/** JetStream's JSON has times in nanoseconds. */
const nanoseconds = (ms: number) => ms * 1_000_000;

export interface StreamSettings {
  readonly name: string;
  readonly max_bytes: number;
  readonly [setting: string]: unknown;
}

export function streamTable(limits: BusLimits): readonly StreamSettings[] {
  const common = { storage: 'file', num_replicas: limits.replicas, max_consumers: -1, max_msgs: -1, max_msg_size: -1 };
  const bucket = (name: string, bytes: number): StreamSettings => ({
    ...common,
    name: `KV_${name}`,
    subjects: [`$KV.${name}.>`],
    retention: 'limits',
    discard: 'new',
    max_msgs_per_subject: 1,
    max_bytes: bytes,
    max_age: 0,
    duplicate_window: nanoseconds(120_000),
    allow_rollup_hdrs: true,
    deny_delete: true,
    // Reads go to the leader: compare-and-set needs no stale answers.
    allow_direct: false,
    // Marks of deleted keys go by themselves.
    allow_msg_ttl: true,
  });
  return [
    bucket(JOBS_BUCKET, limits.jobsBytes),
    bucket(LEASES_BUCKET, limits.leasesBytes),
    {
      ...common,
      name: WAKE_STREAM,
      subjects: [`${WAKE_SUBJECT}.*`],
      retention: 'workqueue',
      discard: 'new',
      // One token a job: another is refused while the first is there.
      max_msgs_per_subject: 1,
      discard_new_per_subject: true,
      max_bytes: limits.wakeBytes,
      max_age: 0,
      duplicate_window: nanoseconds(120_000),
    },
    {
      ...common,
      name: EVENTS_STREAM,
      subjects: [`${EVENTS_SUBJECT}.*`],
      retention: 'limits',
      discard: 'old',
      max_msgs_per_subject: limits.eventsPerJob,
      max_bytes: limits.eventsBytes,
      max_age: nanoseconds(limits.eventsAgeMs),
      duplicate_window: nanoseconds(120_000),
      allow_direct: true,
    },
    {
      ...common,
      name: OBJECTS_STREAM,
      subjects: [`$O.${OBJECTS_BUCKET}.C.>`, `$O.${OBJECTS_BUCKET}.M.>`],
      retention: 'limits',
      discard: 'new',
      max_msgs_per_subject: -1,
      max_bytes: limits.storeBytes,
      max_age: 0,
      duplicate_window: nanoseconds(120_000),
      allow_rollup_hdrs: true,
      allow_msg_ttl: true,
      // Chunks have names of their own and never change: any replica may answer.
      allow_direct: true,
    },
  ];
}

/** The consumer that all coordinators share. */
export const WAKE_CONSUMER_SETTINGS = {
  durable_name: WAKE_CONSUMER,
  ack_policy: 'explicit',
  deliver_policy: 'all',
  ack_wait: nanoseconds(ACK_WAIT_MS),
  max_deliver: -1,
  max_ack_pending: -1,
  max_waiting: 512,
};
