// TF32 or bfloat16 on a CPU: a binding whose products of float32 round their inputs to fewer stored bits, half away from zero as
// TF32 does. Sums stay float32, as on a GPU. With it the tolerances that tests state for TF32 are held without one.
import type { OpAttribute, TensorflowBinding, TensorMetadata } from '../../worker/engine/binding.ts';
import { FLOAT, INT32 } from '../../worker/engine/engine.ts';

const PRODUCTS = ['MatMul', 'BatchMatMulV2'];
const FLOAT32_BITS = 23;
export const TF32_BITS = 10;
export const BFLOAT16_BITS = 7;

/** @param bitsOf a product of these attributes: how many bits its inputs keep, below float32's 23; null: all of them.
 * @returns `binding` with such products; inputs and outputs are those of the true one. */
export function roundingBinding(
  binding: TensorflowBinding,
  bitsOf: (attributes: readonly OpAttribute[]) => number | null,
): TensorflowBinding {
  const attribute = (name: string, value: number) => ({ name, type: binding.TF_ATTR_TYPE, value });
  const word = (value: number) => binding.createTensor([], INT32, Int32Array.of(value));
  /** By bits: half of the last one kept, and all that are kept. */
  const words = new Map<number, readonly [half: number, kept: number]>();
  const wordsOf = (bits: number) => {
    const lost = FLOAT32_BITS - bits;
    const found = words.get(bits) ?? ([word(2 ** (lost - 1)), word(-(2 ** lost))] as const);
    words.set(bits, found);
    return found;
  };
  const one = (name: string, inputs: number[], ...attributes: ReturnType<typeof attribute>[]) =>
    binding.executeOp(name, attributes, inputs, 1)[0].id;
  const rounded = (id: number, bits: number): number => {
    const [half, kept] = wordsOf(bits);
    const steps = [id];
    steps.push(one('Bitcast', [id], attribute('T', FLOAT), attribute('type', INT32)));
    steps.push(one('AddV2', [steps[1], half], attribute('T', INT32)));
    steps.push(one('BitwiseAnd', [steps[2], kept], attribute('T', INT32)));
    const result = one('Bitcast', [steps[3]], attribute('T', INT32), attribute('type', FLOAT));
    for (const step of steps.slice(1)) binding.deleteTensor(step);
    return result;
  };
  const executeOp: TensorflowBinding['executeOp'] = (name, attributes, inputs, outputs): TensorMetadata[] => {
    const isFloat = attributes.some((given) => given.name === 'T' && given.value === FLOAT);
    const bits = PRODUCTS.includes(name) && isFloat ? bitsOf(attributes) : null;
    if (bits === null) return binding.executeOp(name, attributes, inputs, outputs);
    const own = inputs.map((id) => rounded(id, bits));
    try {
      return binding.executeOp(name, attributes, own, outputs);
    } finally {
      for (const id of own) binding.deleteTensor(id);
    }
  };
  return new Proxy({} as TensorflowBinding, {
    get: (_, name) => (name === 'executeOp' ? executeOp : Reflect.get(binding, name)),
  });
}
