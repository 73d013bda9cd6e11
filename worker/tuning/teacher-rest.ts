// The neurons that a teacher's masks prune. An FFN's target is made by all neurons of the dense model: by those that the
// teacher keeps, which it goes on with, and by these, so that nothing is computed twice.
import type { Masks } from '../../pruning/masks.ts';
import { EspalierError } from '../../shared/errors.ts';

/** Masks that keep what the teacher's do not of the neurons, and no head.
 * @throws EspalierError "protocol" for a teacher with scales: together they would not be the dense model. */
export function restOfTeacher(teacher: Masks): Masks {
  for (const scales of [teacher.headScales, teacher.neuronScales])
    for (let at = 0; at < scales.length; at++)
      if (scales[at] !== 1)
        throw new EspalierError('protocol', `teacher: got scale ${scales[at]}, expected none but 1`);
  const { length } = teacher.neuronMask;
  const neuronMask = new Uint8Array(length);
  for (let at = 0; at < length; at++) neuronMask[at] = 1 - teacher.neuronMask[at];
  return { ...teacher, headMask: new Uint8Array(teacher.headMask.length), neuronMask };
}
