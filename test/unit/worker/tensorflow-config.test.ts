// The bytes of TensorFlow's options, as protoc writes them.
import assert from 'node:assert/strict';
import test from 'node:test';
import protobuf from 'protobufjs';
import { memoryStepGb } from '../../../worker/device.ts';
import { gpuMemoryLimit } from '../../../worker/engine/tensorflow-config.ts';

// The fields of tensorflow/core/protobuf/config.proto that matter here.
const CONFIG = `syntax = "proto3";
  message Devices { repeated float memory_limit_mb = 1; }
  message Experimental { repeated Devices virtual_devices = 1; }
  message GpuOptions { double per_process_gpu_memory_fraction = 1; Experimental experimental = 9; }
  message ConfigProto { GpuOptions gpu_options = 6; }`;

test('a limit is one virtual device of whole MiB', () => {
  const type = protobuf.parse(CONFIG).root.lookupType('ConfigProto');
  const decoded = type.toObject(type.decode(Buffer.from(gpuMemoryLimit(16e9), 'hex')));
  assert.deepEqual(decoded, { gpuOptions: { experimental: { virtualDevices: [{ memoryLimitMb: [15258] }] } } });
});

test('memory of GPUs in steps: cards of a model have the same one, whatever else runs on them', () => {
  assert.deepEqual([8.5e10, 7.8e10, 7e10].map(memoryStepGb), [64, 64, 64]);
  assert.deepEqual([1.5e11, 1.6e10, 1.59e10, 9e8].map(memoryStepGb), [128, 16, 12, 0]);
});
