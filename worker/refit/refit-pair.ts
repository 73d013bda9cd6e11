// A refit's teacher and student: the dense model, and the student with its patches.
import { createHash } from 'node:crypto';
import type { Plan } from '../../dataset/plan.ts';
import type { SubLayer } from '../../pruning/masks.ts';
import { stepOf } from '../../pruning/sub-layers.ts';
import { EspalierError } from '../../shared/errors.ts';
import type { LocalModel } from '../model/local-model.ts';
import { ModelCache } from '../model/model-cache.ts';
import type { Student } from '../model/student.ts';
import type { TaskContext } from '../tasks/task-context.ts';
import { featureScales, withoutScales } from '../tuning/scaled-student.ts';
import type { StatesPair } from '../tuning/tuning-pair.ts';

export interface RefitPlace {
  readonly model: LocalModel;
  readonly plan: Plan;
  readonly planDigest: string;
  /** Patches of the sub-layers before this one are those of this step, the others of the step before. */
  readonly student: Student;
  readonly layer: number;
  readonly subLayer: SubLayer;
}

/** The pair of a task, from the cache of models. @throws EspalierError "protocol" for a layer that the model lacks, and for
 * scales of the sub-layer that is refitted: its projection would be multiplied by them again. */
export async function refitPair(
  { models }: Pick<TaskContext, 'models'>,
  { model, plan, planDigest, student, layer, subLayer }: RefitPlace,
): Promise<StatesPair> {
  const { masks, patches } = student;
  if (!(layer < masks.layers))
    throw new EspalierError('protocol', `layer: got ${layer}, expected 0 to ${masks.layers - 1}`);
  const dense = await models.dense(model);
  if (featureScales(masks, stepOf(layer, subLayer), dense.config.headSize) !== null)
    throw new EspalierError(
      'protocol',
      `scales of layer ${layer} ${subLayer}: got some, expected 1 where it is refitted`,
    );
  const hash = createHash('sha256').update('refit').update(ModelCache.key(model)).update(planDigest);
  return {
    ...{ key: hash.digest('hex'), plan, masks, patches },
    teacher: dense,
    student: await models.student(model, withoutScales(masks), patches),
  };
}
