// Original file: protos/espalier/v1/worker.proto

import type { DeviceClass as _espalier_v1_DeviceClass, DeviceClass__Output as _espalier_v1_DeviceClass__Output } from '../../espalier/v1/DeviceClass.ts';
import type { Long } from '@grpc/proto-loader';

export interface DescribeResponse {
  'version'?: (string);
  'protocolVersion'?: (number);
  'deviceClass'?: (_espalier_v1_DeviceClass | null);
  'memoryBytes'?: (number | string | Long);
  'instanceId'?: (string);
}

export interface DescribeResponse__Output {
  'version': (string);
  'protocolVersion': (number);
  'deviceClass': (_espalier_v1_DeviceClass__Output | null);
  'memoryBytes': (number);
  'instanceId': (string);
}
