// TF32 on a CPU: a binding whose products of float32 round their inputs as TF32 does, to 10 stored bits, half away from zero.
// Sums stay float32, as on a GPU. With it the tolerances that tests state for TF32 are held without one.
import type { TensorflowBinding, TensorMetadata } from '../../worker/engine/binding.ts';
import { FLOAT, INT32 } from '../../worker/engine/engine.ts';

const PRODUCTS = ['MatMul', 'BatchMatMulV2'];
/** Of the 13 bits that are lost: half of the last one kept, and all of them. */
const [HALF, LOST] = [0x1000, 0x1fff];

/** @returns `binding` with such products while `isOn()`; inputs and outputs are those of the true one. */
export function tf32Binding(binding: TensorflowBinding, isOn: () => boolean): TensorflowBinding {
  const attribute = (name: string, value: number) => ({ name, type: binding.TF_ATTR_TYPE, value });
  const word = (value: number) => binding.createTensor([], INT32, Int32Array.of(value));
  const [half, kept] = [word(HALF), word(~LOST)];
  const one = (name: string, inputs: number[], ...attributes: ReturnType<typeof attribute>[]) =>
    binding.executeOp(name, attributes, inputs, 1)[0].id;
  const rounded = (id: number): number => {
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
    if (!isOn() || !PRODUCTS.includes(name) || !isFloat) return binding.executeOp(name, attributes, inputs, outputs);
    const own = inputs.map(rounded);
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
