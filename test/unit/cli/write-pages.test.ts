// What `espalier report` makes of folders, and what it leaves alone.
import assert from 'node:assert/strict';
import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, before, describe, it } from 'node:test';
import { parseReportWords } from '../../../cli/parse-report.ts';
import { writePages } from '../../../cli/write-pages.ts';
import { parseReport } from '../../../coordinator/report/read-report.ts';
import { olderReport, sampleReport } from '../report/sample-reports.ts';

describe('espalier report', () => {
  let cwd = '';
  before(async () => {
    cwd = await mkdtemp(path.join(tmpdir(), 'espalier-report-'));
    for (const job of ['all/one', 'all/two', 'other/one'])
      for (const budget of [0.5, 0.3]) {
        await mkdir(path.join(cwd, job, `${budget}`), { recursive: true });
        await writeFile(path.join(cwd, job, `${budget}/report.json`), JSON.stringify(sampleReport(budget)));
      }
    await mkdir(path.join(cwd, 'empty/thesis'), { recursive: true });
  });
  after(() => rm(cwd, { recursive: true }));
  const write = (folders: string[], out: string | null = null) => writePages({ folders, out, json: false }, cwd);
  const read = (file: string) => readFile(path.join(cwd, file), 'utf8');

  it('writes the page of one job into its folder, of one budget, or where it is told', async () => {
    assert.deepEqual(await write(['all/one']), ['all/one/report.html']);
    assert.deepEqual(await write(['all/one/0.5'], 'half.html'), ['half.html']);
    assert.match(await read('half.html'), /pruned to one budget/);
    assert.match(await read('all/one/report.html'), /pruned to 2 budgets/);
  });

  it('writes a page a job and one that compares them, with links to each', async () => {
    assert.deepEqual(await write(['all']), ['all/one/report.html', 'all/two/report.html', 'all/report.html']);
    const once = await read('all/report.html');
    assert.match(once, /<h1>all, compared<\/h1>/);
    assert.match(once, /href="two\/report\.html"/);
    await write(['all']);
    assert.equal(await read('all/report.html'), once);
    assert.deepEqual(await write(['all/one', 'other/one'], 'both.html'), [
      'all/one/report.html',
      'other/one/report.html',
      'both.html',
    ]);
    const both = await read('both.html');
    assert.match(both, /<a href="all\/one\/report\.html">all\/one<\/a>/);
    assert.match(both, /<a href="other\/one\/report\.html">other\/one<\/a>/);
  });

  it('replaces no file of others', async () => {
    await writeFile(path.join(cwd, 'mine.html'), '<p>mine');
    await assert.rejects(write(['all/one'], 'mine.html'), {
      code: 'output_exists',
      message: /mine\.html: got a file that Espalier did not/,
    });
    assert.equal(await read('mine.html'), '<p>mine');
  });

  it('says what is not there and what is no report', async () => {
    await assert.rejects(write(['empty']), { code: 'data_not_found', message: /empty: got no report\.json/ });
    await assert.rejects(write(['nowhere']), { code: 'data_not_found', message: /nowhere: ENOENT/ });
    assert.throws(() => parseReport('{', 'r.json'), {
      code: 'data_format',
      message: 'r.json: got no JSON, expected a report',
    });
    const wrong = { ...sampleReport(0.5), heads: ['<script>'] };
    assert.throws(() => parseReport(JSON.stringify(wrong), 'r.json'), {
      code: 'data_format',
      message: 'r.json: got /heads/0 that must be number, expected a report of schema 1 or 2',
    });
  });

  it('reads reports of older versions', () => {
    const older = olderReport(sampleReport(0.5));
    assert.equal((older as { method: string }).method, 'tune');
    assert.deepEqual(parseReport(JSON.stringify(older), 'r.json'), { ...older, schema: 2, method: 'paper' });
  });

  it('tells of every wrong word at once', () => {
    assert.deepEqual(parseReportWords(['a'], { out: ['b'], json: true }), { folders: ['a'], out: 'b', json: true });
    assert.throws(() => parseReportWords([], { out: [''] }), {
      code: 'usage',
      message: '--out: got an empty value; DIR: missing',
    });
    assert.throws(() => parseReportWords(['a', 'b'], {}), {
      message: '--out FILE: missing, expected one to compare several folders',
    });
  });
});
