// TensorFlow's own options of a process, as the binding takes them: a serialized tensorflow.ConfigProto, in hexadecimal
// digits, in an environment variable that is read once, when the binding is loaded (setup/binding/engine-context.cc).

export const TENSORFLOW_CONFIG = 'ESPALIER_TENSORFLOW_CONFIG';

const MIB = 1024 * 1024;

// Field numbers of tensorflow/core/protobuf/config.proto.
const GPU_OPTIONS = 6;
const GPU_EXPERIMENTAL = 9;
const VIRTUAL_DEVICES = 1;
const MEMORY_LIMIT_MB = 1;

/** Options under which TensorFlow takes at most so much of the GPU's memory, whole MiB: ConfigProto.gpu_options with one
 * virtual device. More than that is "out_of_memory", whatever the card has left. */
export function gpuMemoryLimit(bytes: number): string {
  const float = Buffer.alloc(4);
  float.writeFloatLE(Math.floor(bytes / MIB));
  const device = message(MEMORY_LIMIT_MB, float);
  return message(GPU_OPTIONS, message(GPU_EXPERIMENTAL, message(VIRTUAL_DEVICES, device))).toString('hex');
}

// A field of length-delimited bytes; all of them here are shorter than 128.
function message(field: number, content: Uint8Array): Buffer {
  return Buffer.from([(field << 3) | 2, content.length, ...content]);
}
