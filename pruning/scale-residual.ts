// How well scales explain a sub-layer's target: what rungs of damping are judged by.

/** What beside AᵀA·s the residual needs. */
export interface ResidualTerms {
  /** k */
  readonly scales: number;
  /** Aᵀb, [k], or [k + 1] with the offset as the last unknown. */
  readonly right: Float64Array;
  /** |b|² */
  readonly targetSquares: number;
  /** Rows of A: positions · D. */
  readonly coordinates: number;
}

/** Mean squared residual per output coordinate of the scales s: |A s − b|² / coordinates. With an offset column the best
 * constant is taken off first, since the LayerNorm that follows removes any: |e|² − (1ᵀe)² / coordinates, e = A s − b.
 * @param scales s, [k] or longer. @param product AᵀA·s, with 0 for the offset's part of s; [k], or [k + 1]. */
export function meanSquaredResidual(
  { scales: k, right, targetSquares, coordinates }: ResidualTerms,
  scales: Float64Array,
  product: Float64Array,
): number {
  let squares = targetSquares;
  let moved = 0;
  let explained = 0;
  for (let i = 0; i < k; i++) {
    moved += scales[i] * product[i];
    explained += scales[i] * right[i];
  }
  squares += moved - 2 * explained;
  if (right.length > k) squares -= (product[k] - right[k]) ** 2 / coordinates;
  return Math.max(0, squares) / coordinates;
}
