// Three nats-servers that keep every stream three times. The one that leads a stream is killed in the middle of a job and
// stays away until the job has ended, which must be with the bits of an undisturbed run.
import assert from 'node:assert/strict';
import { connect } from 'nats';
import { EVENTS_STREAM, JOBS_BUCKET, LEASES_BUCKET, OBJECTS_STREAM, WAKE_STREAM } from '../../shared/bus/streams.ts';
import type { Cluster } from '../support/cluster.ts';
import type { Moment } from './fault-bench.ts';
import { type FaultCase, faultSuite } from './fault-suite.ts';

const STREAMS: readonly { readonly name: string; readonly stream: string; readonly at: Moment }[] = [
  { name: 'records', stream: `KV_${JOBS_BUCKET}`, at: 'tune' },
  { name: 'leases', stream: `KV_${LEASES_BUCKET}`, at: 'fisher' },
  { name: 'wake-ups', stream: WAKE_STREAM, at: 'load' },
  { name: 'events', stream: EVENTS_STREAM, at: 'tune' },
  { name: 'blobs', stream: OBJECTS_STREAM, at: 'commit' },
];

interface Replicas {
  readonly leader: string;
  readonly followers: readonly { readonly name: string; readonly current: boolean }[];
}

/** Who keeps a stream, as its leader says. */
async function replicasOf(cluster: Cluster, stream: string): Promise<Replicas> {
  const connection = await connect({ servers: cluster.natsUrl.split(','), name: 'raw test' });
  try {
    const { cluster: kept } = await (await connection.jetstreamManager()).streams.info(stream);
    return { leader: kept?.leader ?? '', followers: kept?.replicas ?? [] };
  } finally {
    await connection.close();
  }
}

const cases = STREAMS.map(({ name, stream, at }): FaultCase => {
  let killed = '';
  return {
    name: `the leader of ${name} is killed`,
    at,
    strike: async ({ cluster }) => {
      const { leader, followers } = await replicasOf(cluster, stream);
      assert.equal(followers.length, 2, `${stream} is kept three times`);
      await cluster.process(leader).kill();
      killed = leader;
    },
    proof: (_, { cluster }) => assert.ok(cluster.process(killed).starts > 1, 'it came back after the job alone'),
  };
});

faultSuite(
  'three nats-servers',
  { natsServers: 3, coordinators: 1, workers: 1, coordinatorFlags: ['--nats-replicas', '3'] },
  cases,
);
