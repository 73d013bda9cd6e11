// Which devices compute passes without padding: a plan for them is cut otherwise.

/** Sizes of heads that EspalierVarlenAttention has kernels for. */
export const VARLEN_HEAD_SIZES: readonly number[] = [32, 64];

export interface PassDevice {
  readonly kind: string;
  readonly kernels: string;
  readonly tf32: boolean;
}

/** True where gradients, refits and divergences of a model with heads of this size go without padding; scores that users see,
 * in float32, do not. */
export function computesUnpadded({ kind, kernels, tf32 }: PassDevice, headSize: number): boolean {
  return kind === 'gpu' && kernels === 'fused' && tf32 && VARLEN_HEAD_SIZES.includes(headSize);
}
