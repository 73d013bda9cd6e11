// ONNX's own schema as this process writes it: the messages of protos/onnx/onnx.proto. The types under generated/ come
// from the same file (see generate-types.sh).
import { createRequire } from 'node:module';
import { join } from 'node:path';
import type * as Protobuf from 'protobufjs';
import { projectRoot } from '../../shared/project-root.ts';
import type { GraphProto } from './generated/onnx/GraphProto.ts';
import type { ModelProto } from './generated/onnx/ModelProto.ts';
import type { TensorProto } from './generated/onnx/TensorProto.ts';

export type { AttributeProto } from './generated/onnx/AttributeProto.ts';
export type { NodeProto } from './generated/onnx/NodeProto.ts';
export type { ValueInfoProto } from './generated/onnx/ValueInfoProto.ts';
export type { GraphProto, ModelProto, TensorProto };

interface Messages {
  readonly ModelProto: ModelProto;
  readonly GraphProto: GraphProto;
  readonly TensorProto: TensorProto;
}

/** Element types of tensors that are written, and their numbers in the schema. */
export const ELEMENT_TYPES = { F32: 'FLOAT', F16: 'FLOAT16', I64: 'INT64' } as const;

const LENGTH_DELIMITED = 2;

let root: Protobuf.Root | undefined;

// Loaded by the first message: most processes that can write ONNX files never do.
function protobuf(): typeof Protobuf {
  return createRequire(import.meta.url)('protobufjs');
}

function schema(): Protobuf.Root {
  root ??= new (protobuf().Root)().loadSync(join(projectRoot(), 'protos', 'onnx', 'onnx.proto'));
  return root;
}

/** The bytes of one message. */
export function encodeMessage<Name extends keyof Messages>(name: Name, message: Messages[Name]): Uint8Array {
  const type = schema().lookupType(`onnx.${name}`);
  return type.encode(type.fromObject(message)).finish();
}

/** What stands before `length` bytes that are a field of a message: the field's number and kind, and the length. */
export function fieldHead<Name extends keyof Messages>(
  name: Name,
  field: keyof Messages[Name] & string,
  length: number,
): Uint8Array {
  const { id } = schema().lookupType(`onnx.${name}`).fields[field];
  return protobuf()
    .Writer.create()
    .uint32((id << 3) | LENGTH_DELIMITED)
    .uint32(length)
    .finish();
}

/** The number of an element type in TensorProto and TypeProto. */
export function elementType(dtype: keyof typeof ELEMENT_TYPES): number {
  return schema().lookupEnum('onnx.TensorProto.DataType').values[ELEMENT_TYPES[dtype]];
}
