// What each user of NATS may do: exactly what its processes do (shared/bus). Names are those of docs/cluster.md;
// test/integration/bus/nats-config.test.ts runs both kinds of process with these rights alone.

const KEY_VALUES = ['KV_espalier_jobs', 'KV_espalier_leases'];
const OBJECTS = 'OBJ_espalier_blobs';
const WAKE = 'ESPALIER_WAKE';
const EVENTS = 'ESPALIER_EVENTS';
const STREAMS = [...KEY_VALUES, OBJECTS, WAKE, EVENTS];
const CONSUMER = `${WAKE}.coordinators`;

const api = (...subjects) => subjects.map((subject) => `$JS.API.${subject}`);

const each = (streams, ...verbs) => streams.flatMap((stream) => api(...verbs.map((verb) => `${verb}.${stream}`)));

/** Users by name, each with the subjects that it may publish to and subscribe to besides its own inbox. */
export const USERS = {
  // Creates the streams, keeps records, hands out work.
  coordinator: {
    publish: [
      ...each(STREAMS, 'STREAM.INFO', 'STREAM.CREATE', 'STREAM.UPDATE'),
      ...each([...KEY_VALUES, OBJECTS], 'STREAM.MSG.GET'),
      ...each([OBJECTS, EVENTS], 'STREAM.PURGE', 'DIRECT.GET'),
      // Watches: consumers that it makes and removes.
      ...[...KEY_VALUES, EVENTS].flatMap((stream) => [
        ...api(`CONSUMER.CREATE.${stream}.>`, `CONSUMER.DELETE.${stream}.*`),
        `$JS.FC.${stream}.>`,
      ]),
      ...api(`CONSUMER.DURABLE.CREATE.${CONSUMER}`, `CONSUMER.MSG.NEXT.${CONSUMER}`),
      `$JS.ACK.${CONSUMER}.>`,
      '$KV.espalier_jobs.>',
      '$KV.espalier_leases.>',
      '$O.espalier_blobs.>',
      'espalier.wake.*',
      'espalier.events.*',
      'espalier.coordinator.*',
    ],
    subscribe: ['espalier.worker.>', 'espalier.coordinator.*'],
  },
  // Says that it is there, and reads models and samples.
  worker: {
    publish: ['espalier.worker.*', ...each([OBJECTS], 'STREAM.MSG.GET', 'DIRECT.GET')],
    subscribe: [],
  },
  // People, and programs that make and put back copies of the streams.
  admin: { publish: ['>'], subscribe: ['>'] },
};
