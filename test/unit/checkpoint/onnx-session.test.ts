// ONNX Runtime's package where it has nothing for this machine.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { loadOnnxRuntime } from '../../../checkpoint/onnx/onnx-session.ts';

test('a package that cannot be loaded is a runtime that is missing, told in one line', async () => {
  const cause = new Error("Cannot find module '../bin/onnxruntime_binding.node'\nRequire stack:\n- index.js");
  await assert.rejects(
    loadOnnxRuntime(() => Promise.reject(cause)),
    {
      code: 'runtime_missing',
      message: "onnxruntime-node cannot be loaded: Cannot find module '../bin/onnxruntime_binding.node'",
      action: 'run `npm run setup` on a machine that ONNX Runtime is made for',
      cause,
    },
  );
});
