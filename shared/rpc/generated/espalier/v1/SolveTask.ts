// Original file: protos/espalier/v1/worker.proto

import type { ModelRef as _espalier_v1_ModelRef, ModelRef__Output as _espalier_v1_ModelRef__Output } from '../../espalier/v1/ModelRef.ts';
import type { BlobRef as _espalier_v1_BlobRef, BlobRef__Output as _espalier_v1_BlobRef__Output } from '../../espalier/v1/BlobRef.ts';
import type { MaskSet as _espalier_v1_MaskSet, MaskSet__Output as _espalier_v1_MaskSet__Output } from '../../espalier/v1/MaskSet.ts';
import type { SumSource as _espalier_v1_SumSource, SumSource__Output as _espalier_v1_SumSource__Output } from '../../espalier/v1/SumSource.ts';
import type { GivenStates as _espalier_v1_GivenStates, GivenStates__Output as _espalier_v1_GivenStates__Output } from '../../espalier/v1/GivenStates.ts';
import type { NextSolve as _espalier_v1_NextSolve, NextSolve__Output as _espalier_v1_NextSolve__Output } from '../../espalier/v1/NextSolve.ts';

export interface SolveTask {
  'model'?: (_espalier_v1_ModelRef | null);
  'plan'?: (_espalier_v1_BlobRef | null);
  'teacher'?: (_espalier_v1_MaskSet | null);
  'student'?: (_espalier_v1_MaskSet | null);
  'layer'?: (number);
  'subLayer'?: (string);
  'fit'?: (_espalier_v1_SumSource | null);
  'heldOut'?: (_espalier_v1_SumSource | null);
  'settingsJson'?: (string);
  'states'?: (_espalier_v1_GivenStates)[];
  'next'?: (_espalier_v1_NextSolve)[];
}

export interface SolveTask__Output {
  'model': (_espalier_v1_ModelRef__Output | null);
  'plan': (_espalier_v1_BlobRef__Output | null);
  'teacher': (_espalier_v1_MaskSet__Output | null);
  'student': (_espalier_v1_MaskSet__Output | null);
  'layer': (number);
  'subLayer': (string);
  'fit': (_espalier_v1_SumSource__Output | null);
  'heldOut': (_espalier_v1_SumSource__Output | null);
  'settingsJson': (string);
  'states': (_espalier_v1_GivenStates__Output)[];
  'next': (_espalier_v1_NextSolve__Output)[];
}
