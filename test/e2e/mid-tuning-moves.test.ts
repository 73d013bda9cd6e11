// Workers that join and leave in mid-tuning take and hand over hidden states, with the real engine: the job has the bits of
// an undisturbed run, and the logs of the workers show that states went from one to the other.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { SILENT_MS, WORKER_SUBJECT } from '../../shared/bus/heartbeat.ts';
import { writeExampleCampaign } from '../support/campaigns.ts';
import { Cluster } from '../support/cluster.ts';
import type { ClusterProcess } from '../support/cluster-process.ts';
import { JobWatch, resultDigests } from '../support/job-watch.ts';
import { submit } from '../support/jobs-api.ts';
import { until } from '../support/until.ts';

const JOB_MS = 120_000;

let cluster: Cluster;
let watch: JobWatch;
let undisturbed: ReturnType<typeof resultDigests>;
let campaigns = 0;
/** When each worker was heard last, by its address. */
const heardMs = new Map<string, number>();

before(async () => {
  cluster = await Cluster.start({ coordinators: 1, workers: 1 });
  watch = await JobWatch.open(cluster.natsUrl);
  watch.bus.subscribe(`${WORKER_SUBJECT}.>`, (_subject, payload) => {
    const { address } = JSON.parse(new TextDecoder().decode(payload)) as { address: string };
    heardMs.set(address, performance.now());
  });
  undisturbed = await finished(await begin());
});

after(async () => {
  await watch?.close();
  await cluster?.remove();
});

async function begin(): Promise<string> {
  campaigns += 1;
  const folder = cluster.folderOf('client', 'campaign');
  const [id] = await submit(cluster, await writeExampleCampaign(folder, `moves-${campaigns}`, { samples: 768 }));
  watch.events(id);
  return id;
}

async function finished(id: string): Promise<ReturnType<typeof resultDigests>> {
  await watch.done([id], JOB_MS);
  return resultDigests(watch.record(id));
}

/** Tasks that a worker has computed, by name. */
function computed(worker: ClusterProcess): string[] {
  return worker
    .log()
    .split('\n')
    .filter((line) => line.includes('"message":"task computed"'))
    .map((line) => (JSON.parse(line) as { task: string }).task);
}

const handedOver = (worker: ClusterProcess) => computed(worker).filter((task) => task.startsWith('activations/'));

const addressOf = ({ name }: ClusterProcess) => cluster.workerAddress(name);

/** A worker that has its engine but is frozen, and that the coordinator has dropped: it can join at any moment. */
async function waiting(): Promise<ClusterProcess> {
  const worker = await cluster.addWorker();
  worker.freeze();
  const address = addressOf(worker);
  const silentMs = () => performance.now() - (heardMs.get(address) ?? 0);
  await until(`${worker.name} is dropped`, () => silentMs() > 1.5 * SILENT_MS, 3 * SILENT_MS);
  return worker;
}

/** Resolves when it is heard. */
async function join(worker: ClusterProcess): Promise<void> {
  const before = performance.now();
  worker.thaw();
  await until(`${worker.name} is heard`, () => (heardMs.get(addressOf(worker)) ?? 0) > before);
}

const joined = (job: string) =>
  watch.events(job).flatMap(({ event }) => (event.kind === 'worker-joined' ? event.worker : []));

test('one worker alone is asked for no states', () => {
  const [first] = cluster.workers;
  assert.ok(computed(first).some((task) => task.startsWith('solve/')));
  assert.deepEqual(handedOver(first), []);
});

test('a worker that joins in mid-tuning goes on with the states of the one that had them', async () => {
  const [first] = cluster.workers;
  const joins = await waiting();
  const job = await begin();
  await watch.reached(job, 'tune', 2);
  assert.deepEqual(computed(joins), [], 'it comes when tuning is on its way');
  // The rest of tuning takes no longer than a worker needs to join.
  first.freeze();
  try {
    await join(joins);
    await until(`the job is told of ${joins.name}`, () => joined(job).includes(addressOf(joins)));
  } finally {
    first.thaw();
  }
  assert.deepEqual(await finished(job), undisturbed);
  assert.ok(handedOver(first).length > 0, `${joins.name} computed ${computed(joins).join(', ')}`);
  assert.deepEqual(handedOver(joins), []);
  assert.deepEqual(joined(job), [first, joins].map(addressOf), 'the job is told of both');
  await cluster.removeWorker(joins.name);
});

test('a worker that drains in mid-tuning hands over all that it holds', async (t) => {
  const [first] = cluster.workers;
  const takes = await waiting();
  const handedBefore = handedOver(first).length;
  const job = await begin();
  await watch.reached(job, 'tune', 2);
  assert.deepEqual(computed(takes), [], 'the other holds everything');
  await join(takes);
  assert.deepEqual(await first.stop(), { code: 0, signal: null });
  assert.deepEqual(await finished(job), undisturbed);
  const handed = handedOver(first).slice(handedBefore);
  t.diagnostic(`handed over: ${handed.join(', ')}`);
  assert.ok(
    handed.some((task) => task.startsWith('activations/solve/')),
    `for a solve in place: ${handed.join(', ')}; then ${computed(takes).join(', ')}`,
  );
  assert.equal(watch.record(job).attempt, 1);
  const lost = watch.events(job).flatMap(({ event }) => (event.kind === 'worker-lost' ? [event] : []));
  assert.deepEqual(lost, [{ kind: 'worker-lost', worker: addressOf(first), reason: 'it drains' }]);
});
