// What tuning has found so far, as it is stored after every sub-layer: the scales alone, in the order of the sub-layers
// and of what each keeps. The masks are those of the stage before, so a job of BERT-base stores 40 kB a time, not 184.
import type { Masks } from '../../pruning/masks.ts';
import { withScales } from '../../pruning/sub-layers.ts';
import type { NamedTensor } from '../../shared/tensor.ts';
import type { TuningReport } from '../prune-report.ts';
import type { StoredTensors } from '../store/stage-store.ts';
import { type TuningProgress, tunableSteps } from './tune.ts';

const SCALES = 'scales';

/** The scales of all sub-layers that have a report. */
export function tuningToTensors({ masks, reports }: TuningProgress): NamedTensor[] {
  const data = new Float32Array(reports.reduce((sum, { kept }) => sum + kept, 0));
  let offset = 0;
  for (const { layer, subLayer } of reports) {
    const ffn = subLayer === 'ffn';
    const [mask, scales] = ffn ? [masks.neuronMask, masks.neuronScales] : [masks.headMask, masks.headScales];
    const perLayer = ffn ? masks.neurons : masks.heads;
    for (let at = layer * perLayer; at < (layer + 1) * perLayer; at += 1)
      if (mask[at] === 1) data[offset++] = scales[at];
  }
  return [{ name: SCALES, dtype: 'F32', shape: [data.length], data }];
}

/** Inverse of `tuningToTensors`, for the masks that tuning began with. @returns null for what belongs to others. */
export function tuningFromTensors({ tensors, meta }: StoredTensors, student: Masks): TuningProgress | null {
  const reports = (meta.reports ?? []) as TuningReport[];
  const scales = tensors.get(SCALES)?.data;
  const steps = tunableSteps(student).slice(0, reports.length);
  const length = steps.reduce((sum, { kept }) => sum + kept.length, 0);
  if (!(scales instanceof Float32Array) || scales.length !== length || steps.length !== reports.length) return null;
  let masks = student;
  let offset = 0;
  for (const step of steps) {
    masks = withScales(masks, step, scales.subarray(offset, offset + step.kept.length));
    offset += step.kept.length;
  }
  return { masks, reports };
}
