// Factors that the weights of an FFN carry, so that its activation costs fewer operations.
import type { Activation } from '../../../checkpoint/model-config.ts';

/** Factors by which FFN weights are multiplied once: with h = u/√2, gelu(u) = (h + h·erf(h))/√2, the first √2 goes into W_1
 * and b_1, the second into W_2. */
export const ACTIVATION_SCALES: Readonly<Record<Activation, { readonly input: number; readonly output: number }>> = {
  gelu: { input: Math.SQRT1_2, output: Math.SQRT1_2 },
  'gelu-tanh': { input: 1, output: 0.5 },
  relu: { input: 1, output: 1 },
};
