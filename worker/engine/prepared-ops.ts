// The binding's executeOp by way of operations that are prepared once (setup/binding/prepared-ops.h): name and attributes are read
// when an operation is new, and what comes out of a call is read from one array.
import type { OpAttribute, TensorflowBinding, TensorMetadata } from './binding.ts';

/** What the set-up's binding has for them. */
export interface PreparedCalls {
  /** @returns the number of a new operation, there until the thread ends. */
  prepareOp(name: string, attributes: readonly OpAttribute[], outputs: number): number;
  runOp(operation: number, ...inputs: number[]): void;
  /** Of each output of the last call: id, type, rank, sizes. */
  readonly results: Int32Array;
}

/** A binding like `native`, with an executeOp that does the same in less time; `native` itself where it was compiled before
 * there were prepared operations. */
export function withPreparedOps(native: TensorflowBinding & Partial<PreparedCalls>): TensorflowBinding {
  const { prepareOp, runOp, results } = native;
  if (prepareOp === undefined || runOp === undefined || results === undefined) return native;
  // An engine has one list for equal attributes, and hands it over again and again.
  const byList = new Map<string, WeakMap<readonly OpAttribute[], number>>();

  const numberOf = (name: string, attributes: readonly OpAttribute[], outputs: number): number => {
    let lists = byList.get(name);
    if (lists === undefined) {
      lists = new WeakMap();
      byList.set(name, lists);
    }
    let number = lists.get(attributes);
    if (number === undefined) {
      number = prepareOp(name, attributes, outputs);
      lists.set(attributes, number);
    }
    return number;
  };

  const executeOp: TensorflowBinding['executeOp'] = (name, attributes, inputs, outputs) => {
    runOp(numberOf(name, attributes, outputs), ...inputs);
    const made = new Array<TensorMetadata>(outputs);
    let at = 0;
    for (let i = 0; i < outputs; i++) {
      const [id, dtype, rank] = [results[at], results[at + 1], results[at + 2]];
      at += 3;
      const shape: number[] = [];
      for (const end = at + rank; at < end; at++) shape.push(results[at]);
      made[i] = { id, shape, dtype };
    }
    return made;
  };
  return Object.create(native, { executeOp: { value: executeOp } }) as TensorflowBinding;
}
