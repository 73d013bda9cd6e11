// Opens the bus over NATS (docs/adr/0011-nats.md): nats-connection.ts connects, nats-link.ts makes a Link of the connection,
// assemble-bus.ts a bus of the Link.
import { assembleBus } from './assemble-bus.ts';
import type { Bus, BusSettings } from './bus.ts';
import type { Link } from './link.ts';
import { type ConnectOptions, connectNats } from './nats-connection.ts';
import { type LinkOptions, NatsLink } from './nats-link.ts';
import { ServerCertificate } from './server-certificate.ts';
import type { BusLimits } from './streams.ts';

export interface BusOptions extends ConnectOptions, LinkOptions {
  /** Of the streams and buckets, for who creates them. */
  readonly limits?: Partial<BusLimits>;
  /** Creates what is missing and sets the limits: for coordinators. Others only use what is there. */
  readonly create?: boolean;
}

/** Connects to NATS. @throws EspalierError "usage" or "tls" for files that are wrong, "bus_unavailable" when no server
 * takes this party in time, "cancelled". */
export async function connectBus(settings: BusSettings, options: BusOptions = {}): Promise<Bus> {
  const link = await connectLink(settings, options);
  try {
    return await assembleBus(link, {
      create: options.create ?? false,
      ...(options.limits && { limits: options.limits }),
    });
  } catch (caught) {
    await link.close();
    throw caught;
  }
}

/** What a bus is made over, by itself. @throws as `connectBus` does. */
export async function connectLink(settings: BusSettings, options: BusOptions = {}): Promise<Link> {
  const certificate = new ServerCertificate();
  const { connection, inboxPrefix } = await connectNats(settings, options, certificate);
  return new NatsLink(connection, inboxPrefix, certificate, options);
}
