// The smallest model within an allowed loss, as a user asks for it: it is the smallest of those that were tried and is what
// a budget of its share gives; a gradual one is walked down to, and killed and resumed it has the same bits; where none is
// within, nothing is written.
import assert from 'node:assert/strict';
import { existsSync, readdirSync } from 'node:fs';
import path from 'node:path';
import { before, test } from 'node:test';
import type { MaxDropReport, PruneReport } from '../../coordinator/prune-report.ts';
import { pathTo } from '../../pruning/grid.ts';
import { projectRoot } from '../../shared/project-root.ts';
import { generateReviews } from '../support/example-run.ts';
import { errorLine, openWorkspace } from '../support/run-cli.ts';

const workspace = await openWorkspace();
const at = (name: string) => workspace.path(name);
const MODEL = path.join(projectRoot(), 'examples/mini-sst2');
let usual: PruneReport;

before(async () => {
  await generateReviews(at('train.jsonl'), 400, 1);
  await generateReviews(at('dev.jsonl'), 100, 2);
  [usual] = await workspace.prune(...words('usual', '--max-drop', '0.05'));
});

/** Words of a run that only searches, which is quick. */
function words(out: string, ...flags: string[]): string[] {
  return [MODEL, '--data', at('train.jsonl'), '--samples', '400', '--method', 'search', '--out', at(out), ...flags];
}

function dropOf({ maxDrop }: PruneReport): MaxDropReport {
  assert.ok(maxDrop);
  return maxDrop;
}

test('is the smallest that was tried and is within, next to one that is not', () => {
  const { candidates, written, dense, ...rest } = dropOf(usual);
  assert.deepEqual(readdirSync(at('usual')).sort(), ['max-drop-0.05', 'report.html']);
  assert.deepEqual(rest, {
    ...{ allowed: 0.05, metric: 'accuracy', decidedBy: 'estimate', confidence: null, boundConfidence: 0.95 },
    ...{ resamples: 4000, heldOut: { examples: 100, samples: 100 } },
  });
  assert.equal(usual.samples, 300, 'the others');
  assert.equal(usual.budget, written.macs);
  assert.ok(usual.macs.pruned <= written.macs * usual.macs.dense);
  for (const { score, drop, bound, within } of candidates) {
    assert.ok(Math.abs(dense - score - drop) < 1e-12 && bound >= drop);
    assert.equal(within, drop <= 0.05 + 1e-9);
  }
  const within = candidates.filter((candidate) => candidate.within).map(({ macs }) => macs);
  assert.equal(written.macs, Math.min(...within));
  assert.ok(candidates.some(({ macs, within }) => !within && Math.abs(macs + 0.01 - written.macs) < 1e-9));
  assert.ok(candidates.length <= 7);
  assert.deepEqual(
    written,
    candidates.find(({ macs }) => macs === written.macs),
  );
  assert.equal(usual.metric, null, 'nothing was evaluated');
});

test('beside budgets and another drop, with evaluation samples that decide nothing: the same model', async () => {
  const flags = ['--max-drop', '0.05,.3', '--budget', `0.6,${usual.budget}`, '--eval', at('dev.jsonl')];
  const reports = await workspace.pruneOnWorkers(2, ...words('beside', ...flags));
  const [, same, first, second] = reports;
  assert.deepEqual(
    readdirSync(at('beside')).sort(),
    ['0.6', `${usual.budget}`, 'max-drop-0.05', 'max-drop-0.3', 'report.html'].sort(),
  );
  assert.deepEqual([first.digest, dropOf(first)], [usual.digest, dropOf(usual)]);
  assert.equal(same.digest, first.digest, 'the budget of its share is the same model');
  assert.ok(reports.slice(0, 2).every(({ maxDrop, samples }) => maxDrop === undefined && samples === 300));
  assert.ok(dropOf(second).written.macs < dropOf(first).written.macs);
  assert.deepEqual(second.quality.dense, first.quality.dense);
  assert.ok(first.quality.search !== null && first.metric === 'accuracy');
});

test('a bound that decides takes a larger model', async () => {
  const flags = ['--max-drop', '0.05', '--max-drop-confidence', '0.9', '--metric', 'f1'];
  const [report] = await workspace.prune(...words('sure', ...flags));
  const { decidedBy, confidence, boundConfidence, metric, candidates, written } = dropOf(report);
  assert.deepEqual([decidedBy, confidence, metric], ['bound', 0.9, 'f1']);
  assert.ok(Math.abs(boundConfidence - (1 - 0.1 / 7)) < 1e-12);
  for (const { bound, within } of candidates) assert.equal(within, bound <= 0.05 + 1e-9);
  assert.ok(written.bound <= 0.05 && written.macs > usual.budget);
});

test('gradual: a walk to the first that loses too much; killed between two candidates and resumed: the same bits, and no candidate is judged again', async () => {
  const tuned = (out: string, ...flags: string[]) => [
    ...['prune', MODEL, '--data', at('train.jsonl'), '--samples', '64', '--out', at(out)],
    ...['--max-drop', '0.05', '--json', ...flags],
  ];
  const whole = await workspace.runOnWorkers(tuned('whole'), 2);
  assert.equal(whole.code, 0, whole.stderr);
  const running = workspace.start(tuned('killed', '--workers', '2'));
  await running.printed(/^note: max-drop-0\.05: 0\.\d+ of the MACs .*\n(.*\n)*note: max-drop-0\.05: /m);
  running.kill('SIGKILL');
  await running.finished;
  assert.ok(!existsSync(at('killed')));
  const resumed = await workspace.runOnWorkers(tuned('killed', '--resume'), 2);
  assert.equal(resumed.code, 0, resumed.stderr);
  const [expected, got] = [whole, resumed].map(({ stdout }) => (JSON.parse(stdout) as { runs: PruneReport[] }).runs[0]);
  assert.deepEqual([got.digest, dropOf(got)], [expected.digest, dropOf(expected)]);
  const { candidates, written } = dropOf(expected);
  const refused = candidates.findIndex(({ within }) => !within);
  const walked = pathTo(0.01).trunk.slice(0, refused + 1);
  assert.deepEqual(
    candidates.slice(0, walked.length).map(({ macs }) => macs),
    walked,
  );
  const between = candidates.slice(walked.length).map(({ macs }) => macs);
  assert.ok(
    refused > 0 &&
      between.length <= 2 &&
      between.every((share) => share > walked[refused] && share < walked[refused - 1]),
  );
  assert.equal(written.macs, Math.min(...candidates.filter(({ within }) => within).map(({ macs }) => macs)));
  const judged = resumed.stderr.match(/^evaluate 0\.\d+ +reused$/gm) ?? [];
  assert.ok(judged.length >= 2, resumed.stderr);
});

test('where no model is within: the best is told of, and nothing is written or kept', async () => {
  const flags = ['--max-drop', '0.001', '--max-drop-confidence', '0.99', '--budget', '0.5', '--json'];
  const failed = await workspace.runOnWorkers(['prune', ...words('none', ...flags)]);
  assert.equal(failed.code, 9, failed.stderr);
  assert.match(
    errorLine(failed),
    /^espalier: \[drop_exceeded\] max-drop-0\.001: got no model within it; the best, 0\.\d+ of the MACs, loses .*; 99\.86 % sure: at most 0\.\d+\); allow a larger drop, or give more samples$/,
  );
  assert.match(failed.stderr, /^note: max-drop: 100 held-out samples judge a loss of 0\.001, which is less than one/m);
  assert.equal(failed.stdout, '');
  assert.ok(!existsSync(at('none')) && !existsSync(at('.none.espalier')));
});
