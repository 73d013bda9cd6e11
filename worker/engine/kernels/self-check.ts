// Whether two implementations of the kernels agree on a small input: what a start checks before it trusts compiled code.
import { type DeviceTensor, DOUBLE, type Engine } from '../engine.ts';
import type { Kernels } from './kernels.ts';
import { systemResults } from './system-self-check.ts';

// Of the size of the numbers; float32 rounding is a hundredth of it, a wrong formula far more.
const TOLERANCE = 1e-5;

const SIZES = { samples: 2, heads: 2 };
const TOKENS = 3;
const WIDTH = 4;
const ROWS = SIZES.samples * TOKENS;

type Results = Readonly<Record<string, DeviceTensor>>;

/** @returns null where they agree, else the first function that does not, with its numbers.
 * @throws EspalierError "engine" where an operation fails. */
export function disagreement(engine: Engine, own: Kernels, reference: Kernels): string | null {
  return engine.scope(() => {
    const inputs = inputsOf(engine);
    const [found, expected] = [own, reference].map(
      (kernels): Results => ({ ...resultsOf(kernels, inputs), ...systemResults(engine, kernels.systems) }),
    );
    for (const [name, tensor] of Object.entries(expected)) {
      const got = numbersOf(engine, found[name]!);
      const right = numbersOf(engine, tensor);
      const at = right.findIndex(
        (value, i) => !(Math.abs(got[i]! - value) <= TOLERANCE * Math.max(1, Math.abs(value))),
      );
      if (at >= 0 || got.length !== right.length) return `${name}: got ${got[at]} at ${at}, expected ${right[at]}`;
    }
    return null;
  });
}

function numbersOf(engine: Engine, tensor: DeviceTensor): Float32Array | Float64Array {
  return tensor.dtype === DOUBLE ? engine.downloadFloat64(tensor) : engine.downloadFloat32(tensor);
}

type Inputs = ReturnType<typeof inputsOf>;

// Numbers between -1 and 1 without a pattern that could hide a wrong stride.
function inputsOf(engine: Engine) {
  let count = 0;
  const upload = (...shape: number[]) => {
    const size = shape.reduce((product, length) => product * length, 1);
    return engine.upload(
      Float32Array.from({ length: size }, () => Math.sin(1 + count++ * 2.3)),
      shape,
    );
  };
  return {
    x: upload(ROWS, WIDTH),
    residual: upload(ROWS, WIDTH),
    second: upload(ROWS, WIDTH),
    bias: upload(WIDTH),
    norm: { gamma: upload(WIDTH), beta: upload(WIDTH) },
    attentionBias: upload(3 * WIDTH),
    roots: upload(ROWS, 1),
    joined: upload(ROWS, 3 * WIDTH),
    first: upload(SIZES.samples, WIDTH),
    keyValue: upload(ROWS, 2 * WIDTH),
    mask: engine.upload(Float32Array.of(0, 0, -1e9, 0, 0, 0), [SIZES.samples, 1, 1, TOKENS]),
  };
}

function resultsOf(kernels: Kernels, inputs: Inputs): Results {
  const results: Record<string, DeviceTensor> = {};
  const { x, residual, second, bias, norm, attentionBias, mask } = inputs;
  const normed = kernels.addNorm(x, bias, residual, norm, 1e-5);
  results.addNorm = normed.y;
  results.squaredLengths = kernels.squaredLengths(x);
  results.addNormGrad = kernels.addNormGrad(x, second, norm, normed.saved);
  for (const kind of ['gelu', 'gelu-tanh', 'relu'] as const) {
    const { a, saved } = kernels.activation(kind, x, bias);
    const gradients = kernels.activationGrad(kind, residual, bias, saved, SIZES.samples);
    results[kind] = a;
    results[`${kind} gradient`] = gradients.product;
    results[`${kind} mask gradient`] = gradients.mask;
  }
  // Sub-layers that keep something, with and without columns that fill up, and nothing.
  for (const [count, columns] of [
    [WIDTH - 1, 2 * WIDTH],
    [WIDTH, WIDTH + 1],
  ] as const) {
    const targets = { added: inputs.second, taught: residual, own: x, bias };
    const rows = kernels.refitRows({ features: x, count, columns }, targets, inputs.roots);
    results[`refit of ${count} features`] = rows.x;
    results[`refit of ${count} features, targets`] = rows.r;
  }
  const bare = { added: null, taught: residual, own: null, bias: null };
  const none = kernels.refitRows({ features: null, count: 0, columns: 1 }, bare, null);
  results['refit of nothing'] = none.x;
  results['refit of nothing, targets'] = none.r;
  results.halfSquares = kernels.halfSquares(x);
  const forms = [
    ['attention', { query: inputs.joined, keyValue: null }, second],
    ['attention of first tokens', { query: inputs.first, keyValue: inputs.keyValue }, inputs.first],
  ] as const;
  for (const [name, products, dcontext] of forms) {
    const { context, saved } = kernels.attention(products, attentionBias, mask, SIZES);
    const gradients = kernels.attentionGrad(dcontext, attentionBias, saved, SIZES, true);
    results[name] = context;
    results[`${name}, mask gradient`] = gradients.mask;
    results[`${name}, query gradient`] = gradients.products!.query;
    if (gradients.products!.keyValue !== null)
      results[`${name}, key and value gradient`] = gradients.products!.keyValue;
  }
  return results;
}
