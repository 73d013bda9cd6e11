// Original file: protos/onnx/onnx.proto

export const OperatorStatus = {
  EXPERIMENTAL: 'EXPERIMENTAL',
  STABLE: 'STABLE',
} as const;

export type OperatorStatus =
  | 'EXPERIMENTAL'
  | 0
  | 'STABLE'
  | 1

export type OperatorStatus__Output = typeof OperatorStatus[keyof typeof OperatorStatus]
