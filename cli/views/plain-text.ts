// Text from elsewhere on a terminal: one line, without characters that would steer it.

/** @param text of a peer or a file. */
export function plainText(text: string): string {
  return text.replace(/\s+/g, ' ').replace(/[\p{Cc}\p{Cf}]/gu, '?');
}
