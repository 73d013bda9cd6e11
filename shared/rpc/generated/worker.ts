import type * as grpc from '@grpc/grpc-js';
import type { MessageTypeDefinition } from '@grpc/proto-loader';

import type { ActivationsTask as _espalier_v1_ActivationsTask, ActivationsTask__Output as _espalier_v1_ActivationsTask__Output } from './espalier/v1/ActivationsTask.ts';
import type { BlobRef as _espalier_v1_BlobRef, BlobRef__Output as _espalier_v1_BlobRef__Output } from './espalier/v1/BlobRef.ts';
import type { DescribeRequest as _espalier_v1_DescribeRequest, DescribeRequest__Output as _espalier_v1_DescribeRequest__Output } from './espalier/v1/DescribeRequest.ts';
import type { DescribeResponse as _espalier_v1_DescribeResponse, DescribeResponse__Output as _espalier_v1_DescribeResponse__Output } from './espalier/v1/DescribeResponse.ts';
import type { DeviceClass as _espalier_v1_DeviceClass, DeviceClass__Output as _espalier_v1_DeviceClass__Output } from './espalier/v1/DeviceClass.ts';
import type { EvaluateOnnxTask as _espalier_v1_EvaluateOnnxTask, EvaluateOnnxTask__Output as _espalier_v1_EvaluateOnnxTask__Output } from './espalier/v1/EvaluateOnnxTask.ts';
import type { EvaluateTask as _espalier_v1_EvaluateTask, EvaluateTask__Output as _espalier_v1_EvaluateTask__Output } from './espalier/v1/EvaluateTask.ts';
import type { FisherTask as _espalier_v1_FisherTask, FisherTask__Output as _espalier_v1_FisherTask__Output } from './espalier/v1/FisherTask.ts';
import type { Frame as _espalier_v1_Frame, Frame__Output as _espalier_v1_Frame__Output } from './espalier/v1/Frame.ts';
import type { GivenStates as _espalier_v1_GivenStates, GivenStates__Output as _espalier_v1_GivenStates__Output } from './espalier/v1/GivenStates.ts';
import type { GradientsTask as _espalier_v1_GradientsTask, GradientsTask__Output as _espalier_v1_GradientsTask__Output } from './espalier/v1/GradientsTask.ts';
import type { LatencyTask as _espalier_v1_LatencyTask, LatencyTask__Output as _espalier_v1_LatencyTask__Output } from './espalier/v1/LatencyTask.ts';
import type { MaskSet as _espalier_v1_MaskSet, MaskSet__Output as _espalier_v1_MaskSet__Output } from './espalier/v1/MaskSet.ts';
import type { ModelRef as _espalier_v1_ModelRef, ModelRef__Output as _espalier_v1_ModelRef__Output } from './espalier/v1/ModelRef.ts';
import type { NextRefit as _espalier_v1_NextRefit, NextRefit__Output as _espalier_v1_NextRefit__Output } from './espalier/v1/NextRefit.ts';
import type { NextSolve as _espalier_v1_NextSolve, NextSolve__Output as _espalier_v1_NextSolve__Output } from './espalier/v1/NextSolve.ts';
import type { NormalEquationsTask as _espalier_v1_NormalEquationsTask, NormalEquationsTask__Output as _espalier_v1_NormalEquationsTask__Output } from './espalier/v1/NormalEquationsTask.ts';
import type { Patch as _espalier_v1_Patch, Patch__Output as _espalier_v1_Patch__Output } from './espalier/v1/Patch.ts';
import type { RefitEquationsTask as _espalier_v1_RefitEquationsTask, RefitEquationsTask__Output as _espalier_v1_RefitEquationsTask__Output } from './espalier/v1/RefitEquationsTask.ts';
import type { RefitTask as _espalier_v1_RefitTask, RefitTask__Output as _espalier_v1_RefitTask__Output } from './espalier/v1/RefitTask.ts';
import type { RunRequest as _espalier_v1_RunRequest, RunRequest__Output as _espalier_v1_RunRequest__Output } from './espalier/v1/RunRequest.ts';
import type { ShardRange as _espalier_v1_ShardRange, ShardRange__Output as _espalier_v1_ShardRange__Output } from './espalier/v1/ShardRange.ts';
import type { SolveTask as _espalier_v1_SolveTask, SolveTask__Output as _espalier_v1_SolveTask__Output } from './espalier/v1/SolveTask.ts';
import type { SumNode as _espalier_v1_SumNode, SumNode__Output as _espalier_v1_SumNode__Output } from './espalier/v1/SumNode.ts';
import type { SumNodes as _espalier_v1_SumNodes, SumNodes__Output as _espalier_v1_SumNodes__Output } from './espalier/v1/SumNodes.ts';
import type { SumSource as _espalier_v1_SumSource, SumSource__Output as _espalier_v1_SumSource__Output } from './espalier/v1/SumSource.ts';
import type { TensorHeader as _espalier_v1_TensorHeader, TensorHeader__Output as _espalier_v1_TensorHeader__Output } from './espalier/v1/TensorHeader.ts';
import type { TokenGradients as _espalier_v1_TokenGradients, TokenGradients__Output as _espalier_v1_TokenGradients__Output } from './espalier/v1/TokenGradients.ts';
import type { TokenWeights as _espalier_v1_TokenWeights, TokenWeights__Output as _espalier_v1_TokenWeights__Output } from './espalier/v1/TokenWeights.ts';
import type { WorkerClient as _espalier_v1_WorkerClient, WorkerDefinition as _espalier_v1_WorkerDefinition } from './espalier/v1/Worker.ts';

type SubtypeConstructor<Constructor extends new (...args: any) => any, Subtype> = {
  new(...args: ConstructorParameters<Constructor>): Subtype;
};

export interface ProtoGrpcType {
  espalier: {
    v1: {
      ActivationsTask: MessageTypeDefinition<_espalier_v1_ActivationsTask, _espalier_v1_ActivationsTask__Output>
      BlobRef: MessageTypeDefinition<_espalier_v1_BlobRef, _espalier_v1_BlobRef__Output>
      DescribeRequest: MessageTypeDefinition<_espalier_v1_DescribeRequest, _espalier_v1_DescribeRequest__Output>
      DescribeResponse: MessageTypeDefinition<_espalier_v1_DescribeResponse, _espalier_v1_DescribeResponse__Output>
      DeviceClass: MessageTypeDefinition<_espalier_v1_DeviceClass, _espalier_v1_DeviceClass__Output>
      EvaluateOnnxTask: MessageTypeDefinition<_espalier_v1_EvaluateOnnxTask, _espalier_v1_EvaluateOnnxTask__Output>
      EvaluateTask: MessageTypeDefinition<_espalier_v1_EvaluateTask, _espalier_v1_EvaluateTask__Output>
      FisherTask: MessageTypeDefinition<_espalier_v1_FisherTask, _espalier_v1_FisherTask__Output>
      Frame: MessageTypeDefinition<_espalier_v1_Frame, _espalier_v1_Frame__Output>
      GivenStates: MessageTypeDefinition<_espalier_v1_GivenStates, _espalier_v1_GivenStates__Output>
      GradientsTask: MessageTypeDefinition<_espalier_v1_GradientsTask, _espalier_v1_GradientsTask__Output>
      LatencyTask: MessageTypeDefinition<_espalier_v1_LatencyTask, _espalier_v1_LatencyTask__Output>
      MaskSet: MessageTypeDefinition<_espalier_v1_MaskSet, _espalier_v1_MaskSet__Output>
      ModelRef: MessageTypeDefinition<_espalier_v1_ModelRef, _espalier_v1_ModelRef__Output>
      NextRefit: MessageTypeDefinition<_espalier_v1_NextRefit, _espalier_v1_NextRefit__Output>
      NextSolve: MessageTypeDefinition<_espalier_v1_NextSolve, _espalier_v1_NextSolve__Output>
      NormalEquationsTask: MessageTypeDefinition<_espalier_v1_NormalEquationsTask, _espalier_v1_NormalEquationsTask__Output>
      Patch: MessageTypeDefinition<_espalier_v1_Patch, _espalier_v1_Patch__Output>
      RefitEquationsTask: MessageTypeDefinition<_espalier_v1_RefitEquationsTask, _espalier_v1_RefitEquationsTask__Output>
      RefitTask: MessageTypeDefinition<_espalier_v1_RefitTask, _espalier_v1_RefitTask__Output>
      RunRequest: MessageTypeDefinition<_espalier_v1_RunRequest, _espalier_v1_RunRequest__Output>
      ShardRange: MessageTypeDefinition<_espalier_v1_ShardRange, _espalier_v1_ShardRange__Output>
      SolveTask: MessageTypeDefinition<_espalier_v1_SolveTask, _espalier_v1_SolveTask__Output>
      SumNode: MessageTypeDefinition<_espalier_v1_SumNode, _espalier_v1_SumNode__Output>
      SumNodes: MessageTypeDefinition<_espalier_v1_SumNodes, _espalier_v1_SumNodes__Output>
      SumSource: MessageTypeDefinition<_espalier_v1_SumSource, _espalier_v1_SumSource__Output>
      TensorHeader: MessageTypeDefinition<_espalier_v1_TensorHeader, _espalier_v1_TensorHeader__Output>
      TokenGradients: MessageTypeDefinition<_espalier_v1_TokenGradients, _espalier_v1_TokenGradients__Output>
      TokenWeights: MessageTypeDefinition<_espalier_v1_TokenWeights, _espalier_v1_TokenWeights__Output>
      Worker: SubtypeConstructor<typeof grpc.Client, _espalier_v1_WorkerClient> & { service: _espalier_v1_WorkerDefinition }
    }
  }
}

