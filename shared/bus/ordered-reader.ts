// Reads a stream in order and without gaps, for as long as it is asked to: through lost connections, restarted servers
// and streams that were put back from a copy.
//
// A reader: opening → reading → (gap, silence, new connection) → opening … → ended by its signal, or with
// its connection. It opens a consumer that
// the server forgets by itself, and knows only the last sequence that it has told: whatever goes wrong, it opens another
// from there. Each message is told once.
import { randomUUID } from 'node:crypto';
import { setTimeout as pause } from 'node:timers/promises';
import type { JetStream } from './jet-stream.ts';
import type { LinkMessage } from './link.ts';

const HEARTBEAT_MS = 2_000;
const SILENT_MS = 3 * HEARTBEAT_MS;
const FORGET_MS = 30_000;
const RETRY_MS = 250;

export interface OrderedRead {
  readonly stream: string;
  readonly subject: string;
  /** The newest message of each subject first, or all from this sequence on. */
  readonly from: 'newest' | number;
  /** Highest sequence that the reader's owner knows of by other ways. */
  readonly known?: () => number;
  readonly onMessage: (sequence: number, message: LinkMessage) => void;
  /** Everything that was there at the start has been told; again after a restart. */
  readonly onCaughtUp?: () => void;
  /** The stream is another one than before, so that all of it is told from the start. */
  readonly onRestart?: () => void;
}

interface StreamInfo {
  readonly created: string;
  readonly state: { readonly last_seq: number };
}

interface ConsumerInfo {
  readonly name: string;
  readonly num_pending: number;
}

/** Resolves when the signal aborts or the connection is closed. @throws EspalierError when the first consumer cannot be made. */
export async function readOrdered(jetStream: JetStream, read: OrderedRead, signal: AbortSignal): Promise<void> {
  const position: Position = { last: null, caughtUp: false, created: null };
  for (let opened = false; !signal.aborted && !jetStream.link.isClosed; ) {
    try {
      await restartWhenOther(jetStream, read, position);
      await readOnce(jetStream, read, position, signal, () => {
        opened = true;
      });
    } catch (caught) {
      if (!opened && !signal.aborted && !jetStream.link.isClosed) throw caught;
    }
    if (!signal.aborted && !jetStream.link.isClosed)
      await pause(RETRY_MS * (1 + Math.random()), undefined, { signal }).catch(() => {});
  }
}

interface Position {
  /** Sequence of the last message that was told. */
  last: number | null;
  caughtUp: boolean;
  /** When the stream was made, which tells it from another of its name. */
  created: string | null;
}

/** A stream that ends before what was told, or that was made anew, is another one: all of it is news. */
async function restartWhenOther(jetStream: JetStream, read: OrderedRead, position: Position): Promise<void> {
  const known = Math.max(position.last ?? 0, read.known?.() ?? 0);
  const { state, created } = await jetStream.api<StreamInfo>(`STREAM.INFO.${read.stream}`);
  const isOther = position.created !== null && (state.last_seq < known || position.created !== created);
  position.created = created;
  if (!isOther) return;
  position.last = null;
  position.caughtUp = false;
  read.onRestart?.();
}

/** Resolves when this consumer is of no more use. */
async function readOnce(
  jetStream: JetStream,
  read: OrderedRead,
  position: Position,
  signal: AbortSignal,
  onOpened: () => void,
): Promise<void> {
  const { link } = jetStream;
  const inbox = link.inbox();
  const name = `espalier-${randomUUID()}`;
  let end = () => {};
  const ended = new Promise<void>((resolve) => {
    end = resolve;
  });
  let watchdog = setTimeout(end, link.timeoutMs + SILENT_MS);
  let delivered = 0;
  let isOver = false;
  const caughtUp = () => {
    if (position.caughtUp) return;
    position.caughtUp = true;
    read.onCaughtUp?.();
  };
  const take = (message: LinkMessage) => {
    if (isOver || signal.aborted) return;
    watchdog.refresh();
    if (message.status !== null) {
      // Flow control: the server goes on when it is answered. Anything but a heartbeat ends the consumer.
      if (message.status.code !== 100) end();
      else if (message.reply !== '') link.publish(message.reply, new Uint8Array());
      // A heartbeat tells what was sent last: more than came means a gap.
      else if (Number(message.header('Nats-Last-Consumer')) > delivered) end();
      return;
    }
    const { consumerSequence, streamSequence, pending } = placeOf(message.reply);
    if (consumerSequence !== delivered + 1) {
      isOver = true;
      end();
      return;
    }
    delivered = consumerSequence;
    position.last = streamSequence;
    read.onMessage(streamSequence, message);
    if (pending === 0) caughtUp();
  };
  const subscription = link.subscribe(inbox, take, end);
  const stopListening = link.onChange(end);
  signal.addEventListener('abort', end, { once: true });
  try {
    const made = await jetStream.api<ConsumerInfo>(`CONSUMER.CREATE.${read.stream}.${name}.${read.subject}`, {
      stream_name: read.stream,
      config: { ...settingsFor(read, position), name, deliver_subject: inbox },
      action: 'create',
    });
    onOpened();
    clearTimeout(watchdog);
    watchdog = setTimeout(end, SILENT_MS);
    if (made.num_pending === 0 && delivered === 0) caughtUp();
    await ended;
  } finally {
    isOver = true;
    clearTimeout(watchdog);
    subscription.end();
    stopListening();
    signal.removeEventListener('abort', end);
    // The server forgets it anyway, later.
    if (link.isConnected) void jetStream.api(`CONSUMER.DELETE.${read.stream}.${name}`).catch(() => {});
  }
}

function settingsFor({ subject, from }: OrderedRead, { last }: Position): object {
  const start = last !== null ? last + 1 : from;
  return {
    ...(start === 'newest'
      ? { deliver_policy: 'last_per_subject' }
      : { deliver_policy: 'by_start_sequence', opt_start_seq: Math.max(1, start) }),
    filter_subject: subject,
    ack_policy: 'none',
    max_deliver: 1,
    flow_control: true,
    idle_heartbeat: HEARTBEAT_MS * 1e6,
    inactive_threshold: FORGET_MS * 1e6,
    mem_storage: true,
    num_replicas: 1,
  };
}

/** `$JS.ACK.[<domain>.<account>.]<stream>.<consumer>.<deliveries>.<stream seq>.<consumer seq>.<time>.<pending>[.…]` */
function placeOf(reply: string): { streamSequence: number; consumerSequence: number; pending: number } {
  const tokens = reply.split('.');
  const at = tokens.length > 9 ? 7 : 5;
  return {
    streamSequence: Number(tokens[at]),
    consumerSequence: Number(tokens[at + 1]),
    pending: Number(tokens[at + 3]),
  };
}
