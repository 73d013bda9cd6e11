// An ONNX graph while it is made: nodes in the order in which they are computed, and the constants that they read. The
// elements of weights are not here; whoever writes the file asks for them one weight at a time.
import { elementCount } from '../../shared/tensor.ts';
import { type AttributeProto, elementType, type NodeProto } from './schema.ts';

export type OnnxDType = 'F32' | 'F16' | 'I64';

export const ONNX_DTYPE_BYTES: Readonly<Record<OnnxDType, number>> = { F32: 4, F16: 2, I64: 8 };

/** A constant of the graph. */
export interface Initializer {
  readonly name: string;
  readonly dtype: OnnxDType;
  readonly shape: readonly number[];
  readonly values: WeightValues | Uint8Array;
}

/** Elements that are a weight of the checkpoint, by its canonical name. */
export interface WeightValues {
  readonly weight: string;
  /** True for [outputs, inputs] to be written as [inputs, outputs], as MatMul reads it. */
  readonly transposed: boolean;
}

/** A value whose type and axes are told. Axes with names are free, and equal where their names are. */
export interface OnnxPort {
  readonly name: string;
  readonly dtype: OnnxDType;
  readonly axes: readonly (string | number)[];
}

type Attribute = number | string | readonly number[] | { readonly float: number };

/** Names of values are unique: each is the name of the node that makes it. */
export class GraphBuilder {
  readonly nodes: NodeProto[] = [];
  readonly initializers: Initializer[] = [];
  /** Values inside the graph whose axes a reader cannot infer. */
  readonly known: OnnxPort[] = [];
  private readonly constants = new Set<string>();
  readonly weightDType: 'F32' | 'F16';

  /** @param weightDType of the matrices; vectors stay float32, since they are few and sums depend on them. */
  constructor(weightDType: 'F32' | 'F16') {
    this.weightDType = weightDType;
  }

  /** Adds a node with one output, which gets the node's name. @returns that name. */
  add(opType: string, name: string, input: readonly string[], attributes: Record<string, Attribute> = {}): string {
    return this.addMany(opType, name, input, [name], attributes)[0];
  }

  /** Adds a node with the named outputs. @returns them. */
  addMany(
    opType: string,
    name: string,
    input: readonly string[],
    outputs: readonly string[],
    attributes: Record<string, Attribute> = {},
  ): readonly string[] {
    const attribute = Object.entries(attributes).map(([key, value]) => attributeOf(key, value));
    this.nodes.push({ opType, name, input: [...input], output: [...outputs], attribute });
    return outputs;
  }

  /** A float32 number. */
  scalar(name: string, value: number): string {
    return this.constant(name, 'F32', [], new Uint8Array(Float32Array.of(value).buffer));
  }

  /** int64 [count] */
  integers(values: readonly number[]): string {
    const bytes = new Uint8Array(BigInt64Array.from(values, BigInt).buffer);
    return this.constant(`integers/${values.join('_')}`, 'I64', [values.length], bytes);
  }

  /** int64, no axis */
  integerScalar(value: number): string {
    return this.constant(`integer/${value}`, 'I64', [], new Uint8Array(BigInt64Array.of(BigInt(value)).buffer));
  }

  /** A vector of the checkpoint, float32. */
  vector(weight: string, shape: readonly number[]): string {
    this.initializers.push({ name: weight, dtype: 'F32', shape, values: { weight, transposed: false } });
    return weight;
  }

  /** A matrix of the checkpoint as [inputs, outputs], float32 wherever it is read: one stored as float16 passes a Cast,
   * which ONNX Runtime computes once, when it loads the model. */
  matrix(weight: string, [outputs, inputs]: readonly number[]): string {
    const dtype = this.weightDType;
    this.initializers.push({ name: weight, dtype, shape: [inputs, outputs], values: { weight, transposed: true } });
    return this.toFloat32(weight);
  }

  /** Rows of a table of the checkpoint, [rows, D], which are picked before they are cast. */
  table(weight: string, shape: readonly number[]): string {
    const dtype = this.weightDType;
    this.initializers.push({ name: weight, dtype, shape, values: { weight, transposed: false } });
    return weight;
  }

  /** A value made of stored matrices or tables, as float32. */
  toFloat32(value: string): string {
    return this.weightDType === 'F32'
      ? value
      : this.add('Cast', `${value}/float32`, [value], { to: elementType('F32') });
  }

  /** Bytes of all constants. */
  get bytes(): number {
    return this.initializers.reduce((sum, initializer) => sum + initializerBytes(initializer), 0);
  }

  private constant(name: string, dtype: OnnxDType, shape: readonly number[], values: Uint8Array): string {
    if (!this.constants.has(name)) this.initializers.push({ name, dtype, shape, values });
    this.constants.add(name);
    return name;
  }
}

export function initializerBytes({ dtype, shape }: Initializer): number {
  return elementCount(shape) * ONNX_DTYPE_BYTES[dtype];
}

function attributeOf(name: string, value: Attribute): AttributeProto {
  if (typeof value === 'number') return { name, type: 'INT', i: value };
  if (typeof value === 'string') return { name, type: 'STRING', s: new TextEncoder().encode(value) };
  if ('float' in value) return { name, type: 'FLOAT', f: value.float };
  return { name, type: 'INTS', ints: [...value] };
}
