// Reports as a record holds them: whole while they are small, and never too large to store.
import assert from 'node:assert/strict';
import test from 'node:test';
import { recordedReports } from '../../../coordinator/job/cluster-results.ts';
import type { PruneReport, TuningReport } from '../../../coordinator/prune-report.ts';

/** As BERT-base has them: 23 sub-layers, each with all rungs tried. */
const TUNING: TuningReport[] = Array.from({ length: 23 }, (_, i) => ({
  ...{ layer: i >> 1, subLayer: 'ffn', kept: 1536, rung: 'ridge 0.001', heldOutBefore: 0.1234567890123456 },
  ...{ heldOutAfter: 0.0234567890123456, largestScale: 1.234567890123456 },
  tried: Array.from({ length: 8 }, (_, rung) => ({ rung: `ridge ${rung}`, heldOut: 0.1234567890123456 })),
}));
const report = (budget: number) => ({ budget, digest: 'ab', tuning: TUNING }) as unknown as PruneReport;

test('a few budgets: the reports as they are', () => {
  const reports = [report(0.5), report(0.7)];
  assert.deepEqual(recordedReports(reports), reports);
});

test('as many as a job may have of gradual results: without their steps', () => {
  const steps = [{ share: 0.5, refits: TUNING }];
  const reports = Array.from(
    { length: 63 },
    (_, i) => ({ ...report(i / 64), tuning: [], steps }) as unknown as PruneReport,
  );
  const recorded = recordedReports(reports);
  assert.ok(JSON.stringify(recorded).length < 64 * 1024);
  assert.deepEqual(recorded[0], { budget: 0, digest: 'ab', tuning: [] });
});

test('as many as a job may have: without tuning, which report.json has', () => {
  const reports = Array.from({ length: 63 }, (_, i) => report(i / 64));
  const recorded = recordedReports(reports);
  assert.ok(JSON.stringify(reports).length > 256 * 1024 && JSON.stringify(recorded).length < 64 * 1024);
  assert.deepEqual(
    recorded,
    reports.map((whole) => ({ ...whole, tuning: [] })),
  );
  assert.equal(reports[0].tuning, TUNING, 'what is written as report.json is left alone');
});
