// An earlier run of the benchmark as the measure of this one.
import { readFile } from 'node:fs/promises';
import { isDeepStrictEqual } from 'node:util';
import { EspalierError } from '../../../shared/errors.ts';
import type { RunFigures, StageFigures, WorkloadDefinition } from './figures.ts';

/** What must be the same for times to be compared; versions, kernels and TF32 may be what is compared. */
export interface Compared {
  readonly machine: string;
  readonly deviceKind: string;
  readonly workloads: readonly WorkloadDefinition[];
}

/** @throws EspalierError "usage" for a file that is no run of this benchmark. */
export async function readBaseline(file: string): Promise<RunFigures> {
  const refuse = (got: string, cause?: unknown) =>
    new EspalierError('usage', `${file}: got ${got}, expected what bench:gpu --json writes`, {
      cause,
      action: 'give another --baseline',
    });
  let found: Partial<RunFigures> | null;
  try {
    found = JSON.parse(await readFile(file, 'utf8')) as Partial<RunFigures> | null;
  } catch (cause) {
    throw refuse((cause as Error).message, cause);
  }
  if (found?.schema !== 1 || !Array.isArray(found.workloads) || typeof found.deviceClass !== 'object')
    throw refuse('another form');
  return found as RunFigures;
}

/** @throws EspalierError "usage" that names each machine, device or workload of which `baseline` is not. */
export function requireComparable(run: Compared, baseline: RunFigures): void {
  const problems: string[] = [];
  if (run.machine !== baseline.machine)
    problems.push(`machine: got a baseline of ${baseline.machine}, expected one of ${run.machine}`);
  if (run.deviceKind !== baseline.deviceClass.kind)
    problems.push(`device: got a baseline on ${baseline.deviceClass.kind}, expected one on ${run.deviceKind}`);
  for (const definition of run.workloads) {
    const earlier = baseline.workloads.find((workload) => workload.definition.name === definition.name);
    if (earlier === undefined) problems.push(`workload ${definition.name}: the baseline has none`);
    else problems.push(...differences(definition, earlier.definition));
  }
  if (problems.length > 0)
    throw new EspalierError('usage', `baseline: ${problems.join('; ')}`, {
      action: 'give a baseline of the same machine and workloads',
    });
}

function differences(now: WorkloadDefinition, earlier: WorkloadDefinition): string[] {
  const fields = Object.keys(now) as (keyof WorkloadDefinition)[];
  return fields
    .filter((field) => !isDeepStrictEqual(now[field], earlier[field]))
    .map(
      (field) =>
        `workload ${now.name}: ${field}: got a baseline of ${JSON.stringify(earlier[field])}, expected ${JSON.stringify(now[field])}`,
    );
}

/** How many times as fast a stage is as in the baseline: its median by this one's; null where that does not have it. */
export function timesAsFast(workload: string, stage: StageFigures, baseline: RunFigures): number | null {
  const earlier = baseline.workloads
    .find(({ definition }) => definition.name === workload)
    ?.stages.find(({ name }) => name === stage.name);
  return earlier === undefined ? null : earlier.seconds.median / stage.seconds.median;
}
