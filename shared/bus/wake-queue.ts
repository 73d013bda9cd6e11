// The queue that wakes coordinators. One token a job: the stream refuses a second one while the first is there, so adding
// twice is harmless. A token that its holder neither renews nor ends comes to another after ACK_WAIT_MS.
//
// A token: waiting → held → ended | waiting again (given back, or its holder fell silent).
import { randomUUID } from 'node:crypto';
import { EspalierError } from '../errors.ts';
import type { WakeQueue, WakeToken } from './bus.ts';
import type { JetStream } from './jet-stream.ts';
import { isRefusal, STORE_FAILED } from './jet-stream.ts';
import type { Link, LinkMessage } from './link.ts';
import { WAKE_CONSUMER, WAKE_STREAM, WAKE_SUBJECT } from './streams.ts';

const NEXT = `$JS.API.CONSUMER.MSG.NEXT.${WAKE_STREAM}.${WAKE_CONSUMER}`;
const ID = /^[A-Za-z0-9_-]+$/;
// Room for the server's own word that the time is over.
const GRACE_MS = 1_000;

export class NatsWakeQueue implements WakeQueue {
  readonly #jetStream: JetStream;

  constructor(jetStream: JetStream) {
    this.#jetStream = jetStream;
  }

  async add(id: string): Promise<void> {
    if (!ID.test(id)) throw new EspalierError('internal', `got job id ${id}, expected letters, digits, - and _`);
    try {
      await this.#jetStream.store(`${WAKE_SUBJECT}.${id}`, new Uint8Array(), { 'Nats-Msg-Id': randomUUID() });
    } catch (caught) {
      if (isRefusal(caught, STORE_FAILED) && /per subject/.test((caught as Error).message)) return;
      throw caught;
    }
  }

  async next(waitMs: number, signal: AbortSignal): Promise<WakeToken | null> {
    const { link } = this.#jetStream;
    await link.whenConnected();
    if (signal.aborted) return null;
    return new Promise((resolve) => {
      let isGivenUp = false;
      const settle = (token: WakeToken | null) => {
        isGivenUp = true;
        signal.removeEventListener('abort', giveUp);
        resolve(token);
      };
      const giveUp = () => settle(null);
      const close = () => {
        clearTimeout(timer);
        subscription.end();
        stopListening();
        settle(null);
      };
      const take = (message: LinkMessage) => {
        // 404, 408, 409, 503: none came, or the server is not there.
        if (message.status !== null) {
          if (message.status.code >= 400) close();
          return;
        }
        // One that comes after the caller left must not lie about for the whole ack period.
        if (isGivenUp) link.publish(message.reply, NAK);
        else settle(token(link, message));
        close();
      };
      const subscription = link.subscribe(link.inbox(), take, close);
      const timer = setTimeout(close, waitMs + GRACE_MS);
      const stopListening = link.onChange(close);
      signal.addEventListener('abort', giveUp, { once: true });
      link.publish(NEXT, encode(JSON.stringify({ batch: 1, expires: waitMs * 1e6 })), { reply: subscription.subject });
    });
  }

  async count(): Promise<number> {
    const { state } = await this.#jetStream.api<{ state: { messages: number } }>(`STREAM.INFO.${WAKE_STREAM}`);
    return state.messages;
  }
}

const encode = (text: string) => new TextEncoder().encode(text);
const NAK = encode('-NAK');

function token(link: Link, { subject, reply }: LinkMessage): WakeToken {
  return {
    id: subject.slice(WAKE_SUBJECT.length + 1),
    renew() {
      if (link.isConnected) link.publish(reply, encode('+WPI'));
    },
    // Answered by the server, so that it is known to be out.
    async done() {
      await link.request(reply, encode('+ACK'));
    },
    async giveBack(delayMs) {
      await link.request(reply, encode(`-NAK ${JSON.stringify({ delay: Math.round(delayMs * 1e6) })}`));
    },
  };
}
