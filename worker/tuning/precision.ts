// The precision of tuning's float32 products where a device can round their inputs: part of what makes results equal, like the
// plan.
import type { Precision } from '../engine/engine.ts';

/** Of the passes that make hidden states, features and targets: tuned quality is the same (docs/performance.md). */
export const PASS_PRECISION: Precision = 'tf32';

/** Of the products of features that systems are made of. Over the thousands of positions that each sums, roundings to 10 bits
 * average out to a few millionths: tuned and refitted quality is the same (docs/performance.md). */
export const SUM_PRECISION: Precision = 'tf32';
