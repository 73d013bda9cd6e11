// Tuning as a stage of a job: told of, and stored sub-layer by sub-layer, so that a run that was killed goes on with the next
// one.
import type { Masks } from '../../pruning/masks.ts';
import type { TuningSettings } from '../../pruning/tuning.ts';
import { type JobContext, resumedStage } from '../job/job-context.ts';
import type { TaskPace } from './task-pace.ts';
import { runTune, type TuningProgress, tunableSteps } from './tune.ts';
import { tuningFromTensors, tuningToTensors } from './tune-state.ts';

export interface TuneStage {
  readonly teacher: Masks;
  /** All scales 1. */
  readonly student: Masks;
  readonly settings: TuningSettings;
  /** See `TuneInput`. */
  readonly pace?: TaskPace;
  /** What events call it. */
  readonly budget: string;
  /** Of the stored stage. */
  readonly name: string;
}

/** The student with the scales of all sub-layers, from the state or found. */
export async function tuneStage(
  context: JobContext,
  { teacher, student, settings, budget, name, pace }: TuneStage,
): Promise<{ readonly value: TuningProgress; readonly seconds: number }> {
  await context.behind?.written(name);
  const tensors = await context.home.readTensors(name);
  const resumed = tensors && tuningFromTensors(tensors, student);
  return resumedStage<TuningProgress>(context, 'tune', {
    ...{ name, budget },
    steps: tunableSteps(student).length,
    stored: resumed && { value: resumed, seconds: Number(tensors.meta.seconds ?? 0), done: resumed.reports.length },
    run: (elapsed, progress) =>
      runTune(
        context,
        { teacher, student, settings, resumed, ...(pace && { pace }) },
        {
          store: (found) =>
            context.home.writeTensors(name, tuningToTensors(found), { seconds: elapsed(), reports: found.reports }),
          progress,
        },
      ),
    note: untuned,
  });
}

function untuned({ reports }: TuningProgress): string | null {
  const left = reports
    .filter(({ rung }) => rung === 'unscaled')
    .map(({ layer, subLayer }) => `layer ${layer} ${subLayer}`);
  return left.length === 0 ? null : `no damping lowered the held-out residual of ${left.join(', ')}: scales of 1 kept`;
}
