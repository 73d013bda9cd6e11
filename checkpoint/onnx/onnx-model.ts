// An ONNX model as bytes: one file, or two where protobuf cannot hold it in one. Weights are asked for when their turn
// comes; what stands around them is small.
import { espalierVersion } from '../../shared/rpc/version.ts';
import type { Checkpoint } from '../open-checkpoint.ts';
import { type EncoderGraph, type EncoderGraphOptions, encoderGraph, OPSET } from './encoder-graph.ts';
import { type Initializer, initializerBytes, type OnnxPort } from './graph-builder.ts';
import { elementType, encodeMessage, fieldHead, type TensorProto, type ValueInfoProto } from './schema.ts';
import { weightPieces } from './weight-pieces.ts';

/** Largest protobuf message that every reader takes: its size is a signed 32-bit number. */
export const MOST_MESSAGE_BYTES = 2 ** 31 - 1;

/** Smaller constants stay in the model's file: shapes and vectors, which readers want while they look at the graph. */
const LEAST_EXTERNAL_BYTES = 1024;

/** Pages that a reader may map. */
const EXTERNAL_ALIGNMENT = 4096;

// Of May 2021, the format of opset 17; later ones hold nothing that is needed here.
const IR_VERSION = 8;

/** Element type of the stored matrices. Vectors are float32, and so is all that is computed. */
export type OnnxWeightDType = 'F32' | 'F16';

export interface OnnxOptions extends EncoderGraphOptions {
  /** Largest file to write in one; a larger model's matrices go into a second one. Default: protobuf's limit. */
  readonly mostFileBytes?: number;
}

export interface OnnxModel {
  readonly inputs: readonly OnnxPort[];
  readonly outputs: readonly OnnxPort[];
  /** Size of the model's file. */
  readonly bytes: number;
  /** The model's file, in order. */
  pieces(): AsyncGenerator<Uint8Array>;
  /** The file beside it that holds the matrices; null where the model's file holds all. */
  readonly external: { readonly bytes: number; pieces(): AsyncGenerator<Uint8Array> } | null;
}

/** What a constant's message is but for its elements, which follow it unless they lie outside. */
interface Placed {
  readonly initializer: Initializer;
  readonly head: Uint8Array;
  /** Before the elements: their field's number and length; null where they lie outside. */
  readonly rawHead: Uint8Array | null;
  readonly offset: number;
}

/** A model, dense or pruned, for ONNX Runtime and whatever else reads opset 17. The same checkpoint gives the same bytes.
 * @param externalName name of the second file, where there is one.
 * @throws EspalierError while it is written: "not_finite" for weights that `dtype` cannot hold, and those of reading. */
export function onnxModel(checkpoint: Checkpoint, options: OnnxOptions, externalName: string): OnnxModel {
  const graph = encoderGraph(checkpoint.config, options);
  const { initializers } = graph.builder;
  const whole = messages(checkpoint, graph, initializers.map(inside));
  if (whole.bytes <= (options.mostFileBytes ?? MOST_MESSAGE_BYTES))
    return { inputs: graph.inputs, outputs: graph.outputs, ...whole, external: null };
  let end = 0;
  const placed = initializers.map((initializer) => {
    if (initializerBytes(initializer) < LEAST_EXTERNAL_BYTES) return inside(initializer);
    const offset = Math.ceil(end / EXTERNAL_ALIGNMENT) * EXTERNAL_ALIGNMENT;
    end = offset + initializerBytes(initializer);
    return outside(initializer, offset, externalName);
  });
  const pieces = async function* () {
    let written = 0;
    for (const { initializer, rawHead, offset } of placed) {
      if (rawHead !== null) continue;
      yield new Uint8Array(offset - written);
      yield* elements(checkpoint, initializer);
      written = offset + initializerBytes(initializer);
    }
  };
  return {
    inputs: graph.inputs,
    outputs: graph.outputs,
    ...messages(checkpoint, graph, placed),
    external: { bytes: end, pieces },
  };
}

/** The model's message around its constants: fields in the schema's order of none, since a reader takes any. */
function messages(checkpoint: Checkpoint, graph: EncoderGraph, placed: readonly Placed[]) {
  const model = encodeMessage('ModelProto', {
    irVersion: IR_VERSION,
    opsetImport: [{ domain: '', version: OPSET }],
    producerName: 'espalier',
    producerVersion: espalierVersion(),
    metadataProps: Object.entries(metadata(checkpoint)).map(([key, value]) => ({ key, value })),
  });
  const rest = encodeMessage('GraphProto', {
    name: checkpoint.config.modelType,
    node: [...graph.builder.nodes],
    input: graph.inputs.map(valueInfo),
    output: graph.outputs.map(valueInfo),
    valueInfo: graph.builder.known.map(valueInfo),
  });
  const constants = placed.map((one) => {
    const rawBytes = one.rawHead === null ? 0 : one.rawHead.byteLength + initializerBytes(one.initializer);
    const length = one.head.byteLength + rawBytes;
    return { ...one, before: fieldHead('GraphProto', 'initializer', length), length };
  });
  const graphBytes = constants.reduce((sum, { before, length }) => sum + before.byteLength + length, rest.byteLength);
  const graphHead = fieldHead('ModelProto', 'graph', graphBytes);
  return {
    bytes: model.byteLength + graphHead.byteLength + graphBytes,
    async *pieces() {
      yield* [model, graphHead, rest];
      for (const { initializer, before, head, rawHead } of constants) {
        yield* [before, head];
        if (rawHead === null) continue;
        yield rawHead;
        yield* elements(checkpoint, initializer);
      }
    },
  };
}

async function* elements(checkpoint: Checkpoint, { values, dtype }: Initializer): AsyncGenerator<Uint8Array> {
  if (values instanceof Uint8Array) yield values;
  else yield* weightPieces(checkpoint, values, dtype === 'F16' ? 'F16' : 'F32');
}

function inside(initializer: Initializer): Placed {
  const rawHead = fieldHead('TensorProto', 'rawData', initializerBytes(initializer));
  return { initializer, head: encodeMessage('TensorProto', tensor(initializer)), rawHead, offset: 0 };
}

function outside(initializer: Initializer, offset: number, location: string): Placed {
  const place = { location, offset: String(offset), length: String(initializerBytes(initializer)) };
  const head = encodeMessage('TensorProto', {
    ...tensor(initializer),
    dataLocation: 'EXTERNAL',
    externalData: Object.entries(place).map(([key, value]) => ({ key, value })),
  });
  return { initializer, head, rawHead: null, offset };
}

function tensor({ name, dtype, shape }: Initializer): TensorProto {
  return { name, dims: [...shape], dataType: elementType(dtype) };
}

function valueInfo({ name, dtype, axes }: OnnxPort): ValueInfoProto {
  const dim = axes.map((axis) => (typeof axis === 'string' ? { dimParam: axis } : { dimValue: axis }));
  return { name, type: { tensorType: { elemType: elementType(dtype), shape: { dim } } } };
}

/** What a reader of the file alone cannot know otherwise. */
function metadata({ config }: Checkpoint): Record<string, string> {
  return {
    model_type: config.modelType,
    task: config.task,
    labels: JSON.stringify(config.labels),
    max_tokens: String(config.maxTokens),
    pad_token_id: String(config.padTokenId),
  };
}
