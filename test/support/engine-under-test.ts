// The engine that the tests of a process run on: that of a CPU worker, unless test/gpu chose another before they were
// loaded. Tests of results state their tolerances for both precisions of products here and are the same code on each engine.
import { setEngineEnvironment } from '../../worker/engine-executor.ts';

/** What inputs of products are rounded to: float32 keeps 24 bits of them, TF32 11 (10 of them stored). */
export type ProductPrecision = 'float32' | 'tf32';

export interface EngineUnderTest {
  readonly device: 'cpu' | 'gpu';
  /** null: what the engine chooses by itself. */
  readonly kernels: 'plain' | 'fused' | null;
  readonly products: ProductPrecision;
}

let chosen: EngineUnderTest = { device: 'cpu', kernels: null, products: 'float32' };
let isSet = false;

/** To be called before any test is loaded. @throws Error afterwards: TensorFlow reads its environment once. */
export function chooseEngine(engine: EngineUnderTest): void {
  if (isSet) throw new Error('engine under test: got another choice, expected one before the first engine');
  chosen = engine;
  engineUnderTest();
}

/** What an engine of this process is; sets, once, the environment that TensorFlow reads when it is loaded. */
export function engineUnderTest(): EngineUnderTest {
  if (isSet) return chosen;
  isSet = true;
  const { device, kernels, products } = chosen;
  if (kernels !== null) process.env.ESPALIER_KERNELS = kernels;
  if (products === 'float32') process.env.NVIDIA_TF32_OVERRIDE = '0';
  else delete process.env.NVIDIA_TF32_OVERRIDE;
  setEngineEnvironment({ threads: 1, device });
  return chosen;
}

/** The tolerance of a comparison for the precision of the products that lead to it. */
export function tolerance<T = number>(by: Readonly<Record<ProductPrecision, T>>): T {
  return by[chosen.products];
}
