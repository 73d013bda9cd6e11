// Tuning as a stage of a job: told of, and stored sub-layer by sub-layer, so that a run that was killed goes on with the next
// one.
import type { Masks } from '../../pruning/masks.ts';
import type { TuningSettings } from '../../pruning/tuning.ts';
import type { JobContext } from '../job/job-context.ts';
import { runTune, type TuningProgress, tunableSteps } from './tune.ts';
import { tuningFromTensors, tuningToTensors } from './tune-state.ts';

export interface TuneStage {
  readonly teacher: Masks;
  /** All scales 1. */
  readonly student: Masks;
  readonly settings: TuningSettings;
  /** What events call it. */
  readonly budget: string;
  /** Of the stored stage. */
  readonly name: string;
}

/** The student with the scales of all sub-layers, from the state or found. */
export async function tuneStage(
  context: JobContext,
  { teacher, student, settings, budget, name }: TuneStage,
): Promise<{ readonly value: TuningProgress; readonly seconds: number }> {
  const stored = await context.home.readTensors(name);
  const steps = tunableSteps(student).length;
  const resumed = stored && tuningFromTensors(stored, student);
  const before = resumed === null ? 0 : Number(stored?.meta.seconds ?? 0);
  if (resumed !== null && resumed.reports.length === steps) {
    context.emit({ kind: 'stage-finished', stage: 'tune', budget, seconds: before, reused: true });
    return { value: resumed, seconds: before };
  }
  context.emit({ kind: 'stage-started', stage: 'tune', budget, steps });
  const start = performance.now();
  const elapsed = () => before + (performance.now() - start) / 1000;
  const value = await runTune(
    context,
    { teacher, student, settings, resumed },
    {
      store: (progress) =>
        context.home.writeTensors(name, tuningToTensors(progress), { seconds: elapsed(), reports: progress.reports }),
      progress: (done) => context.emit({ kind: 'stage-progress', stage: 'tune', budget, done, steps }),
    },
  );
  const seconds = elapsed();
  context.emit({ kind: 'stage-finished', stage: 'tune', budget, seconds, reused: false, ...untuned(value) });
  return { value, seconds };
}

function untuned({ reports }: TuningProgress): { note?: string } {
  const left = reports
    .filter(({ rung }) => rung === 'unscaled')
    .map(({ layer, subLayer }) => `layer ${layer} ${subLayer}`);
  return left.length === 0
    ? {}
    : { note: `no damping lowered the held-out residual of ${left.join(', ')}: scales of 1 kept` };
}
