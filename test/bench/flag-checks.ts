// The flags of a benchmark: read, and what is wrong with them told all at once.
import { type ParseArgsConfig, parseArgs } from 'node:util';
import { EspalierError } from '../../shared/errors.ts';
import type { SyntheticModel } from './synthetic-model.ts';

/** A flag with a value, as parseArgs takes it. @param value the usual one. */
export const text = (value: string | number) => ({ type: 'string', default: `${value}` }) as const;

/** The values of flags. @param action where they are told. @throws EspalierError "usage" for one that is not known. */
export function readFlags<Options extends NonNullable<ParseArgsConfig['options']>>(
  args: readonly string[],
  options: Options,
  action: string,
) {
  try {
    return parseArgs({ args: [...args], options }).values;
  } catch (cause) {
    throw new EspalierError('usage', (cause as Error).message, { cause, action });
  }
}

export class FlagChecks {
  readonly #problems: string[] = [];

  /** Whether nothing was wrong so far. */
  get areSound(): boolean {
    return this.#problems.length === 0;
  }

  /** Something is wrong with a flag. @param got its value, as it is to be shown. */
  refuse(name: string, got: string, expected: string): void {
    this.#problems.push(`--${name}: got ${got}, expected ${expected}`);
  }

  whole(name: string, text: string, least = 1, most = Number.MAX_SAFE_INTEGER): number {
    const value = Number(text);
    const range = most < Number.MAX_SAFE_INTEGER ? `${least} to ${most}` : `${least}`;
    if (!(Number.isSafeInteger(value) && value >= least && value <= most))
      this.refuse(name, `"${text}"`, `a whole number from ${range}`);
    return value;
  }

  /** Words between commas, in the order of those that are known. */
  some<T extends string>(name: string, text: string, known: readonly T[]): T[] {
    const words = text.split(',');
    for (const word of words)
      if (!known.includes(word as T)) this.refuse(name, `"${word}"`, `some of ${known.join(',')}`);
    return known.filter((word) => words.includes(word));
  }

  /** Of a synthetic model, where the flags are sound so far: attention heads share the hidden size. */
  headsOf({ heads, hiddenSize }: Pick<SyntheticModel, 'heads' | 'hiddenSize'>): void {
    if (this.areSound && hiddenSize % heads !== 0)
      this.refuse('heads', `${heads}`, `a divisor of --hidden ${hiddenSize}`);
  }

  /** @param action where the flags are told. @throws EspalierError "usage" that names every flag that is wrong. */
  end(action: string): void {
    if (!this.areSound) throw new EspalierError('usage', this.#problems.join('; '), { action });
  }
}
