// Makes gpu/kernels.ptx.gz, the GPU's kernels as PTX, out of the sources: after a change of a .cu file. Take the oldest NVRTC that
// compiles them, since a driver refuses PTX of a CUDA that is newer than it is:
//
//   pip download --no-deps nvidia-cuda-nvrtc-cu12==12.3.107 && unzip nvidia_cuda_nvrtc_cu12-12.3.107-*.whl
//   LD_LIBRARY_PATH=nvidia/cuda_nvrtc/lib node worker/engine/native/make-ptx.mjs
//
// The library of operations must have been compiled from the same sources (`npm run setup`, which takes the old file in; again
// afterwards, for the new one).
import { createHash } from 'node:crypto';
import fs from 'node:fs';
import { createRequire } from 'node:module';
import path from 'node:path';
import { gzipSync } from 'node:zlib';

const require = createRequire(import.meta.url);
const ops = require('@tensorflow/tfjs-node-gpu/lib/napi-v8/espalier_ops.node');
const text = ops.compileKernels('compute_80').toString('latin1').replace(/\0+$/, '');
const sources = createHash('sha256').update(ops.kernelSource()).digest('hex');
const [, version] = /^\.version (\S+)/m.exec(text);
const file = path.join(import.meta.dirname, 'gpu', 'kernels.ptx.gz');
fs.writeFileSync(file, gzipSync(`// sources ${sources}\n${text}`, { level: 9 }));
console.log(`${file}: PTX ${version}, ${text.length} bytes, ${fs.statSync(file).size} compressed`);
