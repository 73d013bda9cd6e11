// Sizes of a model, out of its config.json, for estimates; 0 where it does not say.

/** Width of the hidden states. */
export function hiddenSizeOf(configJson: string): number {
  return sizeOf(configJson, ['hidden_size', 'dim']);
}

export function layersOf(configJson: string): number {
  return sizeOf(configJson, ['num_hidden_layers', 'n_layers']);
}

function sizeOf(configJson: string, names: readonly string[]): number {
  try {
    const config = JSON.parse(configJson) as Record<string, unknown>;
    const size = Number(names.map((name) => config[name]).find((value) => value !== undefined));
    return Number.isSafeInteger(size) && size > 0 ? size : 0;
  } catch {
    return 0;
  }
}
