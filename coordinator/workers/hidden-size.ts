// Width of a model's hidden states, out of its config.json, for estimates; 0 where it does not say.

export function hiddenSizeOf(configJson: string): number {
  try {
    const { hidden_size, dim } = JSON.parse(configJson) as { hidden_size?: unknown; dim?: unknown };
    const size = Number(hidden_size ?? dim);
    return Number.isSafeInteger(size) && size > 0 ? size : 0;
  } catch {
    return 0;
  }
}
