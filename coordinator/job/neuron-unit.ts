// Counts of neurons that kernels like: what vector and tile sizes divide.
const UNIT = 32;
const LEAST_FOR_UNIT = 512;
const UNIT_OF_FEW = 8;

/** Neurons that budgets of time keep at a time, and tables are measured at. @param neurons of one dense layer. */
export function neuronUnit(neurons: number): number {
  return neurons >= LEAST_FOR_UNIT ? UNIT : UNIT_OF_FEW;
}
