// Puts a bus together over a link, and creates in NATS what it needs where it is asked to.
import { EspalierError } from '../errors.ts';
import type { Bus } from './bus.ts';
import { NatsEventLog } from './event-log.ts';
import { isRefusal, JetStream, NO_STREAM, Refusal } from './jet-stream.ts';
import { NatsKeyValue } from './key-value.ts';
import type { Link } from './link.ts';
import { NatsObjectBucket } from './object-bucket.ts';
import {
  type BusLimits,
  DEFAULT_LIMITS,
  EVENTS_STREAM,
  JOBS_BUCKET,
  LEASES_BUCKET,
  OBJECTS_STREAM,
  type StreamSettings,
  streamTable,
  WAKE_CONSUMER_SETTINGS,
  WAKE_STREAM,
} from './streams.ts';
import { NatsWakeQueue } from './wake-queue.ts';

interface Stream {
  readonly config: { readonly [setting: string]: unknown; readonly max_bytes: number };
}

/** Which limit is the size of which stream. */
const LIMIT_OF: Readonly<Record<string, keyof BusLimits>> = {
  [`KV_${JOBS_BUCKET}`]: 'jobsBytes',
  [`KV_${LEASES_BUCKET}`]: 'leasesBytes',
  [WAKE_STREAM]: 'wakeBytes',
  [EVENTS_STREAM]: 'eventsBytes',
  [OBJECTS_STREAM]: 'storeBytes',
};
/** With less a stream is of no use. */
const LEAST_BYTES = 4e6;

export interface AssembleOptions {
  readonly create: boolean;
  readonly limits?: Partial<BusLimits>;
}

export async function assembleBus(link: Link, { create, limits }: AssembleOptions): Promise<Bus> {
  const jetStream = new JetStream(link);
  if (create) {
    for (const settings of streamTable({ ...DEFAULT_LIMITS, ...limits })) {
      const limit = LIMIT_OF[settings.name];
      await ensureStream(jetStream, settings, limit !== undefined && limits?.[limit] !== undefined);
    }
    await jetStream.api(`CONSUMER.DURABLE.CREATE.${WAKE_STREAM}.${WAKE_CONSUMER_SETTINGS.durable_name}`, {
      stream_name: WAKE_STREAM,
      config: WAKE_CONSUMER_SETTINGS,
    });
  }
  return {
    jobs: new NatsKeyValue(jetStream, JOBS_BUCKET),
    leases: new NatsKeyValue(jetStream, LEASES_BUCKET),
    wake: new NatsWakeQueue(jetStream),
    events: new NatsEventLog(jetStream),
    objects: new NatsObjectBucket(jetStream),
    get isConnected() {
      return link.isConnected;
    },
    get serverCertificateEnd() {
      return link.serverCertificateEnd;
    },
    publish(subject, payload) {
      if (link.isConnected) link.publish(subject, payload);
    },
    subscribe(subject, onMessage) {
      const subscription = link.subscribe(subject, (message) => onMessage(message.subject, message.data));
      return () => subscription.end();
    },
    onReconnect: (listener) =>
      link.onChange(() => {
        if (!link.isClosed) listener();
      }),
    close: () => link.close(),
  };
}

/** Coordinators start at the same time: each creates or brings up to date, and none minds that another was faster.
 * @param isSizeChosen by the operator. Else a stream that is there keeps its size, and one that is made gets a smaller one
 * where JetStream has not so much room. */
async function ensureStream(jetStream: JetStream, settings: StreamSettings, isSizeChosen: boolean): Promise<void> {
  const { name } = settings;
  let existing: Stream;
  try {
    existing = await jetStream.api(`STREAM.INFO.${name}`);
  } catch (caught) {
    if (!isRefusal(caught, NO_STREAM)) throw caught;
    existing = await (isSizeChosen ? change(jetStream, 'CREATE', settings) : createFitting(jetStream, settings));
  }
  const { config } = existing;
  const wanted = isSizeChosen ? settings : { ...settings, max_bytes: config.max_bytes };
  const isSame = Object.entries(wanted).every(
    ([key, value]) => JSON.stringify(config[key] ?? null) === JSON.stringify(value),
  );
  if (!isSame) await change(jetStream, 'UPDATE', { ...config, ...wanted });
}

async function createFitting(jetStream: JetStream, settings: StreamSettings): Promise<Stream> {
  for (let bytes = settings.max_bytes; ; bytes = Math.floor(bytes / 2))
    try {
      return await change(jetStream, 'CREATE', { ...settings, max_bytes: bytes });
    } catch (caught) {
      if (!(caught instanceof EspalierError) || caught.code !== 'store_full' || bytes / 2 < LEAST_BYTES) throw caught;
    }
}

async function change(jetStream: JetStream, verb: 'CREATE' | 'UPDATE', settings: StreamSettings): Promise<Stream> {
  try {
    return await jetStream.api(`STREAM.${verb}.${settings.name}`, settings);
  } catch (caught) {
    if (!(caught instanceof Refusal) || caught.code !== 'store_full') throw caught;
    const problem = `${settings.name}: NATS does not grant it ${settings.max_bytes} bytes: ${caught.message}`;
    throw new EspalierError('store_full', problem, { action: 'lower the limit, or give JetStream more room' });
  }
}
