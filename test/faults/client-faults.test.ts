// Clients that vanish in mid-upload, and whose connection breaks while they watch and fetch.
import assert from 'node:assert/strict';
import { cpSync, existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { after, before, test } from 'node:test';
import { projectRoot } from '../../shared/project-root.ts';
import { writeExampleCampaign } from '../support/campaigns.ts';
import { command } from '../support/cluster-client.ts';
import { natsState } from '../support/leftovers.ts';
import { until } from '../support/until.ts';
import { FaultBench } from './fault-bench.ts';
import { digestOf } from './strikes.ts';

const OBJECTS = 'OBJ_espalier_blobs';

let bench: FaultBench;

before(async () => {
  bench = await FaultBench.open({ coordinators: 2, workers: 2, proxied: true });
});

after(() => bench?.close());

/** The example's model with one other byte, so that nobody has it yet. @returns the campaign file. */
async function unknownModel(name: string, flipped: number): Promise<string> {
  const folder = bench.cluster.folderOf('client', name);
  const model = path.join(folder, 'model');
  cpSync(path.join(projectRoot(), 'examples/mini-sst2'), model, { recursive: true });
  const file = path.join(model, 'model.safetensors');
  const bytes = readFileSync(file);
  bytes[bytes.length - 4] ^= flipped;
  writeFileSync(file, bytes);
  return writeExampleCampaign(folder, name, { model });
}

async function objectMessages(): Promise<number> {
  return (await natsState(bench.cluster)).messages[OBJECTS] ?? 0;
}

for (const [i, how] of ['killed', 'cut off'].entries())
  test(`clients: one that is ${how} in mid-upload leaves nothing, and can come again`, async () => {
    const { cluster, watch } = bench;
    const file = await unknownModel(`vanishes-${how.replace(' ', '-')}`, i + 1);
    const before = await objectMessages();
    const known = watch.records.length;
    const link = cluster.links.client('a');
    link.set({ bytesPerSecond: 4e6 });
    const sent = link.bytes;
    const kill = new AbortController();
    const submitted = command(cluster, ['submit', file, '--json'], { to: 'a', signal: kill.signal });
    await until('the upload is under way', () => link.bytes > sent + 4e6, 60_000);
    if (how === 'killed') kill.abort();
    link.set({ refuse: true });
    link.cut();
    assert.notEqual((await submitted).code, 0);
    link.heal();
    let messages = await objectMessages();
    // Small files that were uploaded whole may stay: they are blobs that no record names yet.
    const files = 5;
    const settled = () => messages <= before + 2 * files;
    for (const end = Date.now() + 30_000; !settled() && Date.now() < end; ) messages = await objectMessages();
    assert.ok(settled(), `${before} messages before, ${messages} after`);
    assert.equal(watch.records.length, known, 'no job came of it');

    const again = await command(cluster, ['submit', file, '--json'], { to: 'a' });
    assert.equal(again.code, 0, again.stderr);
    const [{ id }] = (JSON.parse(again.stdout) as { jobs: { id: string }[] }).jobs;
    await watch.done([id], 60_000);
    await bench.rest();
  });

test('clients: a watch whose connection is cut goes on where it was', async () => {
  const { cluster } = bench;
  const job = await bench.start('a');
  const watching = command(cluster, ['watch', job.id, '--json'], { to: 'a' });
  for (const stage of ['fisher', 'tune', 'export'] as const) {
    await bench.watch.reached(job.id, stage);
    cluster.links.client('a').cut();
  }
  const { code, stdout, stderr } = await watching;
  assert.equal(code, 0, stderr);
  const sequences = stdout
    .trim()
    .split('\n')
    .flatMap((line) => {
      const { sequence } = JSON.parse(line) as { sequence?: number };
      return sequence === undefined ? [] : [sequence];
    });
  assert.deepEqual(
    sequences,
    bench.watch.events(job.id).map(({ sequence }) => sequence),
    'each event once, in order',
  );
  await bench.finish('clients: the connection of a watch is cut three times', job);
});

test('clients: a fetch that is cut leaves nothing half, and can be repeated', async () => {
  const { cluster, watch } = bench;
  const job = await bench.start('a');
  const record = await bench.finish('clients: nothing is broken (control)', job);
  const link = cluster.links.client('a');
  const out = path.join(cluster.folderOf('client', 'fetched'), 'out');
  link.set({ bytesPerSecond: 4e6 });
  const begin = link.bytes;
  const fetching = command(cluster, ['fetch', job.id, '--out', out], { to: 'a' });
  await until('the download is under way', () => link.bytes > begin + 1e6, 30_000);
  link.cut();
  link.heal();
  const cut = await fetching;
  if (cut.code !== 0) {
    assert.match(cut.stderr, /^espalier: \[\w+\] /m);
    assert.ok(!existsSync(out), 'nothing half');
    const again = await command(cluster, ['fetch', job.id, '--out', out], { to: 'a' });
    assert.equal(again.code, 0, again.stderr);
  }
  const fetched = readdirSync(out, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => [entry.name, digestOf(readFileSync(path.join(entry.parentPath, entry.name)))]);
  for (const { name, digest } of record.results.flatMap(({ files }) => files))
    assert.ok(
      fetched.some(([file, sha]) => file === name && sha === digest),
      `${name} is fetched, with its digest`,
    );
  assert.equal(watch.record(job.id).state, 'done');
});

test('clients: everything ends when it is told to', () => bench.stop());
