// Whether two implementations of the kernels agree on a small input: what a start checks before it trusts compiled code.
import { type DeviceTensor, DOUBLE, type Engine } from '../engine.ts';
import type { AttendingSamples, Kernels } from './kernels.ts';
import { systemResults } from './system-self-check.ts';

// Of the size of the numbers; float32 rounding is a hundredth of it, a wrong formula far more.
const TOLERANCE = 1e-5;
// The same where products round their inputs to 10 bits.
const ROUNDED_TOLERANCE = 5e-3;

const SIZES = { samples: 2, heads: 2 };
const TOKENS = 3;
const WIDTH = 4;
const WIDE_HEAD = 32;
const ROWS = SIZES.samples * TOKENS;

type Results = Readonly<Record<string, DeviceTensor>>;

/** @returns null where they agree, else the first function that does not, with its numbers.
 * @throws EspalierError "engine" where an operation fails. */
export function disagreement(engine: Engine, own: Kernels, reference: Kernels): string | null {
  return engine.scope(() => {
    const inputs = inputsOf(engine);
    const compared = (resultsOf: (kernels: Kernels) => Results, tolerance: number) =>
      firstGap(engine, resultsOf(own), resultsOf(reference), tolerance);
    const problem = compared(
      (kernels) => ({ ...resultsOf(kernels, inputs), ...systemResults(engine, kernels.systems) }),
      TOLERANCE,
    );
    if (problem !== null) return problem;
    const wide = wideInputsOf(engine);
    return engine.withPrecision('tf32', () => compared((kernels) => wideResultsOf(kernels, wide), ROUNDED_TOLERANCE));
  });
}

function firstGap(engine: Engine, found: Results, expected: Results, tolerance: number): string | null {
  for (const [name, tensor] of Object.entries(expected)) {
    const got = numbersOf(engine, found[name]!);
    const right = numbersOf(engine, tensor);
    const at = right.findIndex((value, i) => !(Math.abs(got[i]! - value) <= tolerance * Math.max(1, Math.abs(value))));
    if (at >= 0 || got.length !== right.length) return `${name}: got ${got[at]} at ${at}, expected ${right[at]}`;
  }
  return null;
}

function numbersOf(engine: Engine, tensor: DeviceTensor): Float32Array | Float64Array {
  return tensor.dtype === DOUBLE ? engine.downloadFloat64(tensor) : engine.downloadFloat32(tensor);
}

type Inputs = ReturnType<typeof inputsOf>;

// Numbers between -1 and 1 without a pattern that could hide a wrong stride.
function drawsOf(engine: Engine): (...shape: number[]) => DeviceTensor {
  let count = 0;
  return (...shape) => {
    const size = shape.reduce((product, length) => product * length, 1);
    return engine.upload(
      Float32Array.from({ length: size }, () => Math.sin(1 + count++ * 2.3)),
      shape,
    );
  };
}

function inputsOf(engine: Engine) {
  const upload = drawsOf(engine);
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
    samples: samplesOf(engine, 1),
  };
}

/** Two samples, the first with `padding` rows after its tokens. */
function samplesOf(engine: Engine, padding: 0 | 1): AttendingSamples {
  const extents = Int32Array.of(0, TOKENS, 2 * TOKENS, TOKENS - padding, TOKENS);
  return {
    samples: SIZES.samples,
    tokens: TOKENS,
    extents: engine.upload(new Float32Array(extents.buffer), [extents.length]),
    paddingBias: padding ? engine.upload(Float32Array.of(0, 0, -1e9, 0, 0, 0), [SIZES.samples, 1, 1, TOKENS]) : null,
  };
}

// Heads of a size that attention without padding has kernels for; nothing is padded, of which nothing is said.
function wideInputsOf(engine: Engine) {
  const upload = drawsOf(engine);
  const width = SIZES.heads * WIDE_HEAD;
  return {
    product: upload(ROWS, 3 * width),
    bias: upload(3 * width),
    dcontext: upload(ROWS, width),
    samples: samplesOf(engine, 0),
  };
}

function wideResultsOf(kernels: Kernels, inputs: ReturnType<typeof wideInputsOf>): Results {
  const { product, bias, dcontext, samples } = inputs;
  const { context, saved } = kernels.attention({ query: product, keyValue: null }, bias, samples, SIZES.heads);
  const gradients = kernels.attentionGrad(dcontext, bias, saved, samples, SIZES.heads, true);
  return {
    'rounded attention': context,
    'rounded attention, mask gradient': gradients.mask,
    'rounded attention, gradient': gradients.products!.query,
  };
}

function resultsOf(kernels: Kernels, inputs: Inputs): Results {
  const results: Record<string, DeviceTensor> = {};
  const { x, residual, second, bias, norm, attentionBias, samples } = inputs;
  const normed = kernels.addNorm(x, bias, residual, norm, 1e-5);
  results.addNorm = normed.y;
  results.squaredLengths = kernels.squaredLengths(x);
  results.addNormGrad = kernels.addNormGrad(x, second, norm, normed.saved);
  for (const kind of ['gelu', 'gelu-tanh', 'relu'] as const) {
    const { a, saved } = kernels.activation(kind, x, bias);
    const gradients = kernels.activationGrad(kind, residual, bias, saved, SIZES.samples, null);
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
    const { context, saved } = kernels.attention(products, attentionBias, samples, SIZES.heads);
    const gradients = kernels.attentionGrad(dcontext, attentionBias, saved, samples, SIZES.heads, true);
    results[name] = context;
    results[`${name}, mask gradient`] = gradients.mask;
    results[`${name}, query gradient`] = gradients.products!.query;
    if (gradients.products!.keyValue !== null)
      results[`${name}, key and value gradient`] = gradients.products!.keyValue;
  }
  return results;
}
