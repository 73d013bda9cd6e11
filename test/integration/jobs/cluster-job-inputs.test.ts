// Inputs of a claimed job that are not what they should be: missing, damaged, changed, or outside of where jobs may read.
import assert from 'node:assert/strict';
import { mkdir, readFile, symlink, writeFile } from 'node:fs/promises';
import { describe, test } from 'node:test';
import { openJobResources } from '../../../coordinator/job-resources.ts';
import type { FileSource, JobSpec } from '../../../coordinator/jobs/job-record.ts';
import type { EspalierError } from '../../../shared/errors.ts';
import { openClaimedJobs, weightsOf } from '../../support/claimed-jobs.ts';
import { writeToyModel } from '../../support/toy-model.ts';

const { assertSame, at, bus, prunedHere, resources, start, upload, uploaded } = await openClaimedJobs();
const local = await prunedHere('local');

describe('inputs', () => {
  test('that are not there, or damaged, are named by what the user calls them', async () => {
    await writeFile(at('broken.jsonl'), '{"sentence1": "ba", "sentence2": 3, "label": 1}\n');
    const data = await upload(at('broken.jsonl'), 'data');
    const { results } = start({ data: { ...data, label: 'my train.jsonl' } as FileSource });
    await assert.rejects(results, (error: EspalierError) => {
      assert.equal(error.code, 'data_format');
      assert.match(error.message, /^my train\.jsonl:1: /);
      assert.doesNotMatch(error.line, /scratch/);
      return true;
    });
    const missing = { name: 'data.csv', digest: 'b'.repeat(64), sizeBytes: 3 };
    await assert.rejects(start({ data: { kind: 'blobs', label: 'x', files: [missing] } }).results, {
      code: 'blob_missing',
    });
  });

  test('whose names are on no list are refused before anything is fetched', async () => {
    const [file] = (uploaded.data as Extract<FileSource, { kind: 'blobs' }>).files;
    for (const name of ['../data.jsonl', '/etc/passwd', 'data.jsonl\0', 'data.parquet', '']) {
      const { results } = start({ data: { kind: 'blobs', label: 'x', files: [{ ...file, name }] } });
      await assert.rejects(results, { code: 'campaign_format' }, name);
    }
    const twice = start({
      model: {
        kind: 'blobs',
        label: 'x',
        files: [
          { ...file, name: 'vocab.txt' },
          { ...file, name: 'vocab.txt' },
        ],
      },
    });
    await assert.rejects(twice.results, { code: 'campaign_format', message: 'model: got vocab.txt twice' });
  });

  test('that a disk has changed since they were pulled are pulled again', async () => {
    await resources.blobs.remove(weightsOf(uploaded.model).digest);
    const own = await openJobResources({
      ...{ objects: bus.objects, cacheDir: at('changed'), cacheLimitBytes: 1e9, volumes: new Map() },
    });
    const { digest, sizeBytes } = weightsOf(uploaded.model);
    const file = await own.cache.fetch(digest, sizeBytes);
    const bytes = await readFile(file);
    bytes[bytes.length - 1] ^= 1;
    await writeFile(file, bytes);
    await assert.rejects(start({}, { resources: own }).results, { code: 'blob_corrupt' });
    // Nor is damage taken for the user's mistake.
    assert.ok(uploaded.data.kind === 'blobs');
    const [data] = uploaded.data.files;
    await writeFile(await own.cache.fetch(data.digest, data.sizeBytes), Buffer.alloc(data.sizeBytes, '{'));
    await assert.rejects(start({}, { resources: own }).results, { code: 'blob_corrupt' });
    await assertSame(await start({}, { resources: own }).results, 'local', local);
  });

  test('of a volume that changed since the job began: the job fails, what was stored is not mixed with it', async () => {
    await writeToyModel(at('volume/models/changing'), { layers: 2, hidden: 32, heads: 4, neurons: 64, seed: 8 });
    const spec: Partial<JobSpec> = {
      model: { kind: 'volume', volume: 'shared', path: ['models', 'changing'] },
      method: 'search',
    };
    const first = start(spec);
    await first.results;
    await writeToyModel(at('volume/models/changing'), { layers: 2, hidden: 32, heads: 4, neurons: 64, seed: 9 });
    await assert.rejects(start(spec, { record: first.record }).results, (error: EspalierError) => {
      assert.equal(error.code, 'resume_mismatch');
      assert.match(error.message, /^the inputs changed since the job began: model: got "[0-9a-f]+\.\.\., expected "/);
      return true;
    });
  });

  test('behind links that lead out of a volume are not read', async () => {
    await symlink(at('volume/models/toy'), at('outside'));
    await mkdir(at('other'));
    await symlink(at('volume/data'), at('other/data'));
    const volumes = new Map([['other', at('other')]]);
    const own = { ...resources, volumes };
    const data: FileSource = { kind: 'volume', volume: 'other', path: ['data', 'train.jsonl'] };
    await assert.rejects(start({ data }, { resources: own }).results, {
      code: 'campaign_format',
      message: 'other/data: got a link that leads out of the volume',
    });
  });
});
