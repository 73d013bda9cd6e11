/** For sorting: texts by their code units, which every machine sorts alike. @returns below 0 when `a` comes first. */
export function compareText(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}
