// TensorFlow operations on tensors that live in TensorFlow, called one by one. What always holds: every tensor made
// inside `scope` is released at its end unless it is part of what the function returns; the caller owns the rest.
import { EspalierError } from '../../shared/errors.ts';
import {
  loadBinding,
  loadOps,
  type OpAttribute,
  type OpsLibrary,
  type TensorflowBinding,
  type TensorMetadata,
} from './binding.ts';

/** A tensor on the device. Plain data: release it through the engine that made it. */
export type DeviceTensor = TensorMetadata;

// TensorFlow's numbers for its types (tensorflow/core/framework/types.proto).
export const FLOAT = 1;
export const DOUBLE = 2;
export const INT32 = 3;

const MOST_CONSTANTS = 8192;

type Released = { readonly [key: string]: unknown } | readonly unknown[] | null | undefined | number | boolean | string;

/** How float32 products round their inputs on a GPU: not at all, or to TF32's 10 bits where the GPU has it. */
export type Precision = 'float32' | 'tf32';

type PrecisionSwitch = Pick<OpsLibrary, 'allowTf32' | 'computeCapability'>;

/** Compute capability of the first GPUs with TF32. */
export const TF32_CAPABILITY = 80;

export class Engine {
  readonly binding: TensorflowBinding;
  private readonly library: PrecisionSwitch | null;
  private precision: Precision = 'float32';
  private hasTf32: boolean | null = null;
  private scopes: DeviceTensor[][] = [];
  private readonly attributeCache = new Map<string, OpAttribute[]>();
  /** The same by list: most callers have theirs made already. */
  private readonly attributesOfLists = new WeakMap<readonly OpAttribute[], OpAttribute[]>();
  private readonly constants = new Map<string, DeviceTensor>();
  private readonly live = new Set<number>();
  private readonly jobs: (() => void)[] = [];
  /** Ids that no scope releases. */
  private readonly kept = new Set<number>();

  /** @param library null: without the own operations and the switch of precision. */
  constructor(binding: TensorflowBinding = loadBinding(), library: PrecisionSwitch | null = loadOps().library) {
    this.binding = binding;
    this.library = library;
  }

  /** True where `withPrecision('tf32', …)` may change products: on a GPU that has it, unless NVIDIA_TF32_OVERRIDE=0 forbids it. */
  get allowsTf32(): boolean {
    this.hasTf32 ??= this.binding.isUsingGpuDevice() && (this.library?.computeCapability() ?? 0) >= TF32_CAPABILITY;
    return this.hasTf32 && process.env.NVIDIA_TF32_OVERRIDE !== '0';
  }

  /** True where products round their inputs to TF32 now. */
  get roundsToTf32(): boolean {
    return this.precision === 'tf32' && this.allowsTf32;
  }

  /** Runs `body`, which must not be asynchronous, with products of this precision; float32 outside. Calls nest. Without
   * the library of own operations everything is float32. */
  withPrecision<T>(precision: Precision, body: () => T): T {
    const before = this.precision;
    if (this.library === null || precision === before) return body();
    this.setPrecision(this.library, precision);
    try {
      return body();
    } finally {
      this.setPrecision(this.library, before);
    }
  }

  private setPrecision(library: PrecisionSwitch, precision: Precision): void {
    library.allowTf32(precision === 'tf32');
    this.precision = precision;
  }

  /** Runs `body` and releases every tensor that it made, but those in its result (searched through arrays and plain
   * objects). Scopes nest; what an inner scope returns belongs to the outer one. */
  scope<T>(body: () => T): T {
    const outer = this.scopes;
    if (outer.length === 0) this.dropManyConstants();
    const made: DeviceTensor[] = [];
    this.scopes = [...outer, made];
    let result: T;
    try {
      result = body();
    } catch (error) {
      this.scopes = outer;
      for (const tensor of made) if (!this.kept.has(tensor.id)) this.dispose(tensor);
      throw error;
    }
    this.scopes = outer;
    const kept = new Set<DeviceTensor>();
    collect(result as Released, kept);
    const parent = outer.at(-1);
    for (const tensor of made) {
      if (this.kept.has(tensor.id)) continue;
      if (!kept.has(tensor)) this.dispose(tensor);
      else parent?.push(tensor);
    }
    return result;
  }

  /** Takes tensors out of every open scope: the caller releases them. */
  keep(tensors: readonly DeviceTensor[]): void {
    for (const tensor of tensors) this.kept.add(tensor.id);
  }

  /** The inverse: tensors belong to the scope that is open. */
  adopt(tensors: readonly DeviceTensor[]): void {
    for (const tensor of tensors) {
      this.kept.delete(tensor.id);
      this.scopes.at(-1)?.push(tensor);
    }
  }

  /** Releases a tensor. Releasing one twice does nothing. */
  dispose(tensor: DeviceTensor): void {
    if (!this.live.delete(tensor.id)) return;
    this.kept.delete(tensor.id);
    this.binding.deleteTensor(tensor.id);
  }

  /** Tensors that TensorFlow holds now: for leak checks. */
  get tensorCount(): number {
    return this.binding.getNumOfTensors();
  }

  upload(data: Float32Array | Int32Array, shape: number[]): DeviceTensor {
    const dtype = data instanceof Float32Array ? FLOAT : INT32;
    let id: number;
    try {
      id = this.binding.createTensor(shape, dtype, data);
    } catch (cause) {
      throw failure(cause, `upload [${shape.join(',')}]`);
    }
    return this.track({ id, shape, dtype });
  }

  uploadFloat64(data: Float64Array, shape: number[]): DeviceTensor {
    // As float32 of the same bits: TensorFlow keeps int32 tensors in the host's memory.
    const bits = this.upload(new Float32Array(data.buffer, data.byteOffset, data.length * 2), [...shape, 2]);
    return this.op('Bitcast', [bits], FLOAT_BITS);
  }

  downloadFloat32(tensor: DeviceTensor): Float32Array {
    return this.download(tensor) as Float32Array;
  }

  /** Brings float32 numbers to the host while the caller goes on, who may release the tensor. @returns what waits for them, to be called
   * once. */
  beginDownload(tensor: DeviceTensor): () => Float32Array {
    const { binding } = this;
    const told = <T>(call: () => T): T => {
      try {
        return call();
      } catch (cause) {
        throw failure(cause, `download [${tensor.shape.join(',')}]`);
      }
    };
    if (binding.beginDownload === undefined) {
      const numbers = this.downloadFloat32(tensor);
      return () => numbers;
    }
    const finish = told(() => binding.beginDownload!(tensor.id));
    return () => told(finish);
  }

  downloadFloat64(tensor: DeviceTensor): Float64Array {
    const bits = this.op('Bitcast', [tensor], [type('T', DOUBLE), type('type', INT32)]);
    const words = this.download(bits) as Int32Array;
    return new Float64Array(words.buffer, words.byteOffset, words.length / 2);
  }

  /** An int32 tensor for shapes, axes, permutations: the engine's own, there at least until the outermost scope ends. */
  constant(values: readonly number[], shape: number[] = [values.length]): DeviceTensor {
    const key = `i${shape.join(',')}:${values.join(',')}`;
    return this.cached(key, () => ({
      id: this.binding.createTensor(shape, INT32, Int32Array.from(values)),
      shape,
      dtype: INT32,
    }));
  }

  /** A float32 scalar of the engine's own, there at least until the outermost scope ends. */
  scalar(value: number): DeviceTensor {
    return this.cached(`f${value}`, () => ({
      id: this.binding.createTensor([], FLOAT, Float32Array.of(value)),
      shape: [],
      dtype: FLOAT,
    }));
  }

  /** The same in float64. */
  scalar64(value: number): DeviceTensor {
    return this.cached(`d${value}`, () => {
      const { binding } = this;
      // As float32 of the same bits: TensorFlow keeps int32 tensors in the host's memory.
      const bits = binding.createTensor([2], FLOAT, new Float32Array(Float64Array.of(value).buffer));
      try {
        return binding.executeOp('Bitcast', this.attributes(FLOAT_BITS), [bits], 1)[0]!;
      } finally {
        binding.deleteTensor(bits);
      }
    });
  }

  /** What an own operation takes for a float64 number that the host knows: the halves of its bits, which stay in the host's memory.
   * The engine's own, there at least until the outermost scope ends. */
  hostNumber(value: number): DeviceTensor {
    return this.cached(`h${value}`, () => ({
      id: this.binding.createTensor([2], INT32, new Int32Array(Float64Array.of(value).buffer)),
      shape: [2],
      dtype: INT32,
    }));
  }

  /** What an own operation takes for an input that is not there: a tensor without numbers, of the engine's own. */
  absent(): DeviceTensor {
    return this.cached('absent', () => ({
      id: this.binding.createTensor([0], FLOAT, new Float32Array(0)),
      shape: [0],
      dtype: FLOAT,
    }));
  }

  /** Runs one TensorFlow operation with one output. @throws EspalierError "out_of_memory" or "engine". */
  op(name: string, inputs: readonly DeviceTensor[], attributes: readonly OpAttribute[]): DeviceTensor {
    return this.opOutputs(name, inputs, attributes, 1)[0]!;
  }

  /** Runs one TensorFlow operation with several outputs. @throws EspalierError "out_of_memory" or "engine". */
  opOutputs(
    name: string,
    inputs: readonly DeviceTensor[],
    attributes: readonly OpAttribute[],
    count: number,
  ): DeviceTensor[] {
    let outputs: DeviceTensor[];
    try {
      outputs = this.binding.executeOp(name, this.attributes(attributes), inputs.map(idOf), count);
    } catch (cause) {
      throw failure(cause, `${name} ${inputs.map((input) => `[${input.shape.join(',')}]`).join(' ')}`);
    }
    for (const output of outputs) this.track(output);
    return outputs;
  }

  /** Has the host do something when it next waits for the device, which goes on with what was issued meanwhile. */
  whileWaiting(job: () => void): void {
    this.jobs.push(job);
  }

  private download(tensor: DeviceTensor) {
    for (const job of this.jobs.splice(0)) job();
    try {
      return this.binding.tensorDataSync(tensor.id);
    } catch (cause) {
      throw failure(cause, `download [${tensor.shape.join(',')}]`);
    }
  }

  private track(tensor: DeviceTensor): DeviceTensor {
    this.live.add(tensor.id);
    this.scopes.at(-1)?.push(tensor);
    return tensor;
  }

  // Shapes of micro-batches come and go: a long list is dropped when no scope is open, so that none is in use.
  private dropManyConstants(): void {
    if (this.constants.size <= MOST_CONSTANTS) return;
    for (const tensor of this.constants.values()) this.binding.deleteTensor(tensor.id);
    this.constants.clear();
  }

  private cached(key: string, make: () => DeviceTensor): DeviceTensor {
    let tensor = this.constants.get(key);
    if (tensor === undefined) {
      tensor = make();
      this.constants.set(key, tensor);
    }
    return tensor;
  }

  // The binding reads an attribute's type from one of its own numbers; both forms are made once.
  private attributes(list: readonly OpAttribute[]): OpAttribute[] {
    const found = this.attributesOfLists.get(list);
    if (found !== undefined) return found;
    const key = list.map((a) => `${a.name}${a.type}${a.value}`).join();
    let made = this.attributeCache.get(key);
    if (made === undefined) {
      const kinds: Record<number, number> = {
        [TYPE]: this.binding.TF_ATTR_TYPE,
        [BOOL]: this.binding.TF_ATTR_BOOL,
        [INT]: this.binding.TF_ATTR_INT,
        [REAL]: this.binding.TF_ATTR_FLOAT,
      };
      made = list.map((a) => ({ name: a.name, type: kinds[a.type]!, value: a.value }));
      this.attributeCache.set(key, made);
    }
    this.attributesOfLists.set(list, made);
    return made;
  }
}

const TYPE = 0;
const BOOL = 1;
const INT = 2;
const REAL = 3;

export const type = (name: string, value: number): OpAttribute => ({ name, type: TYPE, value });
export const bool = (name: string, value: boolean): OpAttribute => ({ name, type: BOOL, value });
export const float = (name: string, value: number): OpAttribute => ({ name, type: REAL, value });
export const int = (name: string, value: number): OpAttribute => ({ name, type: INT, value });

const FLOAT_BITS = [type('T', FLOAT), type('type', DOUBLE)];

// TensorFlow tells of memory that ran out in many words, at whichever call comes next on a GPU.
function failure(cause: unknown, call: string): EspalierError {
  const message = cause instanceof Error ? cause.message.replace(/\s+/g, ' ').slice(0, 300) : String(cause);
  const isExhausted = /OOM|RESOURCE_EXHAUSTED|ResourceExhausted|out of memory|allocation failed|TF_Status: 8/i.test(
    message,
  );
  return new EspalierError(isExhausted ? 'out_of_memory' : 'engine', `${call}: ${message}`, { cause });
}

function idOf(tensor: DeviceTensor): number {
  return tensor.id;
}

function isTensor(value: object): value is DeviceTensor {
  return 'id' in value && 'shape' in value && 'dtype' in value;
}

function collect(value: Released, into: Set<DeviceTensor>): void {
  if (value === null || typeof value !== 'object') return;
  if (ArrayBuffer.isView(value)) return;
  if (isTensor(value)) {
    into.add(value);
    return;
  }
  for (const part of Object.values(value)) collect(part as Released, into);
}
