// Original file: protos/espalier/v1/worker.proto

import type { ModelRef as _espalier_v1_ModelRef, ModelRef__Output as _espalier_v1_ModelRef__Output } from '../../espalier/v1/ModelRef.ts';
import type { BlobRef as _espalier_v1_BlobRef, BlobRef__Output as _espalier_v1_BlobRef__Output } from '../../espalier/v1/BlobRef.ts';
import type { MaskSet as _espalier_v1_MaskSet, MaskSet__Output as _espalier_v1_MaskSet__Output } from '../../espalier/v1/MaskSet.ts';
import type { SumSource as _espalier_v1_SumSource, SumSource__Output as _espalier_v1_SumSource__Output } from '../../espalier/v1/SumSource.ts';
import type { TokenWeights as _espalier_v1_TokenWeights, TokenWeights__Output as _espalier_v1_TokenWeights__Output } from '../../espalier/v1/TokenWeights.ts';
import type { NextRefit as _espalier_v1_NextRefit, NextRefit__Output as _espalier_v1_NextRefit__Output } from '../../espalier/v1/NextRefit.ts';

export interface RefitTask {
  'model'?: (_espalier_v1_ModelRef | null);
  'plan'?: (_espalier_v1_BlobRef | null);
  'student'?: (_espalier_v1_MaskSet | null);
  'layer'?: (number);
  'subLayer'?: (string);
  'fit'?: (_espalier_v1_SumSource | null);
  'heldOut'?: (_espalier_v1_SumSource | null);
  'weights'?: (_espalier_v1_TokenWeights | null);
  'settingsJson'?: (string);
  'part'?: (string);
  'next'?: (_espalier_v1_NextRefit)[];
}

export interface RefitTask__Output {
  'model': (_espalier_v1_ModelRef__Output | null);
  'plan': (_espalier_v1_BlobRef__Output | null);
  'student': (_espalier_v1_MaskSet__Output | null);
  'layer': (number);
  'subLayer': (string);
  'fit': (_espalier_v1_SumSource__Output | null);
  'heldOut': (_espalier_v1_SumSource__Output | null);
  'weights': (_espalier_v1_TokenWeights__Output | null);
  'settingsJson': (string);
  'part': (string);
  'next': (_espalier_v1_NextRefit__Output)[];
}
