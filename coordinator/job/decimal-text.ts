// Decimal numbers of budgets as users write them.

/** The number; NaN for what is none. An exponent is none: the text names a folder. */
export function readDecimal(text: string): number {
  return /^-?(\d+\.?\d*|\.\d+)$/.test(text) ? Number(text) : Number.NaN;
}

/** The text with a figure before its point: a folder that is named after it is not a hidden one. */
export function decimalName(text: string): string {
  return text.startsWith('.') ? `0${text}` : text;
}
