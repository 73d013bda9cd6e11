// What a report says of its pruned model that is counted: what it lost and what it gained.
import { type PrunedModel, SPEED_RUNTIMES } from '../shared/telemetry/coordinator-metrics.ts';
import type { PruneReport } from './prune-report.ts';
import { lastStage } from './prune-settings.ts';

/** Reads any report, also one of another kind of job or of an older version: what it does not tell is left out.
 * Of a runtime that was timed at several shapes the first counts, as in the report's `latency`. */
export function prunedModel(report: unknown): PrunedModel {
  const { quality, method, macs, speed = [] } = (report ?? {}) as Partial<PruneReport>;
  const speedups: PrunedModel['speedups'] = new Map(
    SPEED_RUNTIMES.flatMap((runtime) => {
      const first = speed.find((measured) => measured.runtime === runtime);
      return first === undefined ? [] : [[runtime, first.dense.median / first.pruned.median]];
    }),
  );
  // Of earlier versions "tune" is a method, and the name of its stage.
  return {
    accuracyDrop:
      quality === undefined || method === undefined ? null : difference(quality.dense, quality[lastStage(method)]),
    macsKept: macs === undefined ? null : macs.pruned / macs.dense,
    speedups,
  };
}

function difference(dense: number | null | undefined, pruned: number | null | undefined): number | null {
  return typeof dense === 'number' && typeof pruned === 'number' ? dense - pruned : null;
}
