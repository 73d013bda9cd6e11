// Original file: protos/espalier/v1/worker.proto

import type { FisherTask as _espalier_v1_FisherTask, FisherTask__Output as _espalier_v1_FisherTask__Output } from '../../espalier/v1/FisherTask.ts';
import type { NormalEquationsTask as _espalier_v1_NormalEquationsTask, NormalEquationsTask__Output as _espalier_v1_NormalEquationsTask__Output } from '../../espalier/v1/NormalEquationsTask.ts';
import type { SolveTask as _espalier_v1_SolveTask, SolveTask__Output as _espalier_v1_SolveTask__Output } from '../../espalier/v1/SolveTask.ts';
import type { EvaluateTask as _espalier_v1_EvaluateTask, EvaluateTask__Output as _espalier_v1_EvaluateTask__Output } from '../../espalier/v1/EvaluateTask.ts';
import type { LatencyTask as _espalier_v1_LatencyTask, LatencyTask__Output as _espalier_v1_LatencyTask__Output } from '../../espalier/v1/LatencyTask.ts';
import type { ActivationsTask as _espalier_v1_ActivationsTask, ActivationsTask__Output as _espalier_v1_ActivationsTask__Output } from '../../espalier/v1/ActivationsTask.ts';
import type { EvaluateOnnxTask as _espalier_v1_EvaluateOnnxTask, EvaluateOnnxTask__Output as _espalier_v1_EvaluateOnnxTask__Output } from '../../espalier/v1/EvaluateOnnxTask.ts';
import type { GradientsTask as _espalier_v1_GradientsTask, GradientsTask__Output as _espalier_v1_GradientsTask__Output } from '../../espalier/v1/GradientsTask.ts';
import type { RefitEquationsTask as _espalier_v1_RefitEquationsTask, RefitEquationsTask__Output as _espalier_v1_RefitEquationsTask__Output } from '../../espalier/v1/RefitEquationsTask.ts';
import type { RefitTask as _espalier_v1_RefitTask, RefitTask__Output as _espalier_v1_RefitTask__Output } from '../../espalier/v1/RefitTask.ts';

export interface RunRequest {
  'taskId'?: (string);
  'fisher'?: (_espalier_v1_FisherTask | null);
  'normalEquations'?: (_espalier_v1_NormalEquationsTask | null);
  'solve'?: (_espalier_v1_SolveTask | null);
  'evaluate'?: (_espalier_v1_EvaluateTask | null);
  'latency'?: (_espalier_v1_LatencyTask | null);
  'activations'?: (_espalier_v1_ActivationsTask | null);
  'evaluateOnnx'?: (_espalier_v1_EvaluateOnnxTask | null);
  'gradients'?: (_espalier_v1_GradientsTask | null);
  'refitEquations'?: (_espalier_v1_RefitEquationsTask | null);
  'refit'?: (_espalier_v1_RefitTask | null);
  'task'?: "fisher"|"normalEquations"|"solve"|"evaluate"|"latency"|"activations"|"evaluateOnnx"|"gradients"|"refitEquations"|"refit";
}

export interface RunRequest__Output {
  'taskId': (string);
  'fisher'?: (_espalier_v1_FisherTask__Output | null);
  'normalEquations'?: (_espalier_v1_NormalEquationsTask__Output | null);
  'solve'?: (_espalier_v1_SolveTask__Output | null);
  'evaluate'?: (_espalier_v1_EvaluateTask__Output | null);
  'latency'?: (_espalier_v1_LatencyTask__Output | null);
  'activations'?: (_espalier_v1_ActivationsTask__Output | null);
  'evaluateOnnx'?: (_espalier_v1_EvaluateOnnxTask__Output | null);
  'gradients'?: (_espalier_v1_GradientsTask__Output | null);
  'refitEquations'?: (_espalier_v1_RefitEquationsTask__Output | null);
  'refit'?: (_espalier_v1_RefitTask__Output | null);
  'task'?: "fisher"|"normalEquations"|"solve"|"evaluate"|"latency"|"activations"|"evaluateOnnx"|"gradients"|"refitEquations"|"refit";
}
