// Jobs.Watch: every event once and in order, whatever breaks, and an end when the job has ended.
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import type { JobEvent } from '../../../cli/client/cluster-client.ts';
import { encodeEvent } from '../../../coordinator/jobs/event-writer.ts';
import { fromStatus } from '../../../shared/rpc/status.ts';
import { type ApiSeat, ApiWorld } from '../../support/api-world.ts';
import { FaultProxy } from '../../support/fault-proxy.ts';
import { submission } from '../../support/job-records.ts';
import { until } from '../../support/until.ts';

let world: ApiWorld;
let api: ApiSeat;

before(async () => {
  world = await ApiWorld.open();
  api = await world.seat();
});
after(() => world.close());

async function newJob(key: string): Promise<string> {
  const { jobs } = await api.store.submit(submission(key, ['watched']));
  return jobs[0]!.id;
}
const notice = (id: string, text: string) => api.bus.events.append(id, encodeEvent(1, { kind: 'notice', text }));
const textOf = ({ eventJson }: JobEvent) => {
  const { text, state } = JSON.parse(eventJson) as { text?: string; state?: string };
  return text ?? state;
};

/** A plain watch, without anything that makes it go on. */
function watch(seat: ApiSeat, id: string, afterSequence = 0, keptOnly = false) {
  const events: JobEvent[] = [];
  const call = seat.jobs.watch({ id, afterSequence, keptOnly });
  const ended = new Promise<void>((resolve, reject) => {
    call.on('data', (event: JobEvent) => events.push(event));
    call.on('end', resolve);
    call.on('error', (error) => reject(fromStatus(error, 'the API')));
  });
  ended.catch(() => {});
  return { events, ended, call, texts: () => events.map(textOf) };
}

describe('Jobs.Watch', () => {
  it('tells of kept events, then of new ones, and ends after the last one of a job that has ended', async () => {
    const id = await newJob('plain');
    await notice(id, 'kept');
    const watched = watch(api, id);
    await until('the kept event', () => watched.texts().includes('kept'));
    await notice(id, 'new');
    await until('the new event', () => watched.texts().includes('new'));
    await api.store.cancel(id);
    await watched.ended;
    assert.deepEqual(watched.texts(), ['kept', 'new', 'cancelled']);
    const sequences = watched.events.map(({ sequence }) => sequence);
    assert.deepEqual(
      [...sequences].sort((a, b) => a - b),
      sequences,
    );
    assert.deepEqual(
      watched.events.map(({ attempt }) => attempt),
      [1, 1, 0],
    );
    const rest = watch(api, id, sequences[0]);
    await rest.ended;
    assert.deepEqual(rest.texts(), ['new', 'cancelled']);
  });

  it('ends after what is kept where only that is asked for', async () => {
    const id = await newJob('kept');
    await notice(id, 'a');
    const watched = watch(api, id, 0, true);
    await watched.ended;
    assert.deepEqual(watched.texts(), ['a']);
  });

  it('goes past the end of an earlier attempt', async () => {
    const id = await newJob('retried');
    await api.store.cancel(id);
    await watch(api, id).ended;
    await api.store.retry(id);
    const watched = watch(api, id);
    await until('the job is queued again', () => watched.texts().includes('queued'));
    await notice(id, 'second');
    await until('the event of the second attempt', () => watched.texts().includes('second'));
    await api.store.cancel(id);
    await watched.ended;
    assert.deepEqual(watched.texts(), ['cancelled', 'queued', 'second', 'cancelled']);
  });

  it('ends although the last event was lost', async () => {
    const id = await newJob('lost');
    await api.store.cancel(id);
    await watch(api, id).ended;
    await api.bus.events.remove(id);
    const watched = watch(api, id);
    await watched.ended;
    assert.deepEqual(watched.texts(), []);
  });

  it('ends when the job is deleted', async () => {
    const id = await newJob('deleted');
    await api.store.cancel(id);
    await watch(api, id).ended;
    await api.store.retry(id);
    const watched = watch(api, id);
    await until('the watch is there', () => watched.events.length > 0);
    await api.store.cancel(id);
    await api.store.delete(id);
    await watched.ended;
  });

  it('skips events that it cannot read', async () => {
    const id = await newJob('odd');
    for (const bytes of ['', '[]', '{"time": 3}', 'null', '{"time":"x","attempt":1}'])
      await api.bus.events.append(id, Buffer.from(bytes));
    await notice(id, 'right');
    const watched = watch(api, id, 0, true);
    await watched.ended;
    assert.deepEqual(watched.texts(), ['right']);
  });

  it('sends a slow reader all of more events than may wait', async () => {
    const id = await newJob('slow');
    const count = 1500;
    const watched = watch(api, id);
    watched.call.pause();
    // Beyond what the connection itself takes in.
    const long = 'x'.repeat(2_000);
    for (let i = 0; i < count; i += 50)
      await Promise.all(Array.from({ length: 50 }, (_, j) => notice(id, `${i + j} ${long}`)));
    await api.store.cancel(id);
    watched.call.resume();
    await watched.ended;
    const numbers = watched
      .texts()
      .slice(0, -1)
      .map((text) => Number(text?.split(' ')[0]));
    assert.deepEqual(new Set(numbers), new Set(Array.from({ length: count }, (_, i) => i)));
    assert.equal(numbers.length, count);
    assert.equal(watched.texts().at(-1), 'cancelled');
  });

  it('lets go of the log when the client goes', async () => {
    const id = await newJob('gone');
    const watched = watch(api, id);
    await notice(id, 'a');
    await until('the event', () => watched.events.length === 1);
    watched.call.cancel();
    await assert.rejects(watched.ended, { code: 'cancelled' });
    await notice(id, 'b');
    assert.equal(watched.events.length, 1);
  });

  for (const [id, code] of [
    ['ffffffff', 'job_not_found'],
    ['x', 'usage'],
  ] as const)
    it(`refuses ${id}`, async () => assert.rejects(watch(api, id).ended, { code }));
});

describe('a client that watches', () => {
  it('goes on after the last event when its connection is cut, again and again', async () => {
    const proxy = await FaultProxy.open(api.server.port);
    after(() => proxy.close());
    const id = await newJob('cut');
    const client = await world.client([proxy.address]);
    const events: JobEvent[] = [];
    const lost: string[] = [];
    const ended = client.watch(id, {
      after: 0,
      keptOnly: false,
      signal: new AbortController().signal,
      onEvent: (event) => events.push(event),
      onLost: ({ code }) => lost.push(code),
    });
    ended.catch(() => {});
    for (let i = 0; i < 4; i += 1) {
      await notice(id, `event ${i}`);
      await until(`event ${i}`, () => events.length === i + 1);
      proxy.cut();
      await until('the loss is noticed', () => lost.length === i + 1);
    }
    await api.store.cancel(id);
    await ended;
    assert.deepEqual(events.map(textOf), ['event 0', 'event 1', 'event 2', 'event 3', 'cancelled']);
  });

  it('turns to another coordinator when its own drains', async () => {
    const first = await world.seat();
    const id = await newJob('drained');
    await until('the index of the other', () => first.store.summary(id) !== null);
    const client = await world.client([first.address, api.address]);
    const events: JobEvent[] = [];
    const ended = client.watch(id, {
      after: 0,
      keptOnly: false,
      signal: new AbortController().signal,
      onEvent: (event) => events.push(event),
    });
    await notice(id, 'before');
    await until('the first event', () => events.length === 1);
    await first.server.drain(5_000);
    await notice(id, 'after');
    await until('the second event', () => events.length === 2);
    await api.store.cancel(id);
    await ended;
    assert.deepEqual(events.map(textOf), ['before', 'after', 'cancelled']);
  });

  it('says that no coordinator can be reached, or that it speaks to something else', async () => {
    const client = await world.client(['127.0.0.1:1']);
    await assert.rejects(client.get('ffff'), {
      code: 'coordinator_unavailable',
      message: '127.0.0.1:1: cannot be reached',
    });
    const nats = await world.client([`127.0.0.1:${world.world.server.port}`]);
    await assert.rejects(nats.get('ffff'), (error: Error & { code?: string }) =>
      ['coordinator_unavailable', 'tls'].includes(error.code ?? ''),
    );
  });
});
