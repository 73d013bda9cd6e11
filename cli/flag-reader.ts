// Reads the flags of one command, collecting every problem so that the user hears of all of them at once. A flag that
// takes a value arrives as the list of values it was given, a switch as true.
import { type ErrorCode, EspalierError } from '../shared/errors.ts';

/** By the flag's name without dashes ("macs-length"). */
export type RawFlags = Readonly<Record<string, readonly string[] | boolean | undefined>>;

interface Range {
  readonly min: number;
  readonly max: number;
}

export class FlagReader {
  readonly #flags: RawFlags;
  readonly #env: NodeJS.ProcessEnv;
  readonly #problems: { readonly code: ErrorCode; readonly text: string }[] = [];

  constructor(flags: RawFlags, env: NodeJS.ProcessEnv = {}) {
    this.#flags = flags;
    this.#env = env;
  }

  /** Notes a problem; `throwProblems` tells of it. */
  problem(text: string, code: ErrorCode = 'usage'): void {
    this.#problems.push({ code, text });
  }

  /** All values of a flag that may be given several times. */
  all(name: string): readonly string[] {
    const values = this.#flags[name];
    return Array.isArray(values) ? values : [];
  }

  switched(name: string): boolean {
    return this.#flags[name] === true;
  }

  /** The value of a flag, or null. */
  text(name: string): string | null {
    const values = this.all(name);
    if (values.length > 1) this.problem(`--${name}: got ${values.length} values, expected one`);
    if (values[0] === '') this.problem(`--${name}: got an empty value`);
    return values[0] ?? null;
  }

  /** The value of a flag, or else of its variable ("tls-ca": ESPALIER_TLS_CA), or null. */
  textOrVariable(name: string): string | null {
    return this.text(name) ?? this.variable(name);
  }

  /** The variable that stands in for a flag, or null. */
  variable(name: string): string | null {
    return this.#env[`ESPALIER_${name.toUpperCase().replaceAll('-', '_')}`] || null;
  }

  /** The value of a flag that must be given; "" after noting that it is missing. */
  required(name: string, placeholder: string): string {
    const value = this.text(name);
    if (value === null) this.problem(`--${name} ${placeholder}: missing`);
    return value ?? '';
  }

  /** One of `choices`; `fallback` where the flag is absent or wrong. */
  choice<Choice extends string, Fallback extends Choice | null>(
    name: string,
    choices: readonly Choice[],
    fallback: Fallback,
  ): Choice | Fallback {
    const value = this.text(name);
    if (value === null) return fallback;
    const choice = choices.find((candidate) => candidate === value);
    if (choice === undefined) this.problem(`--${name}: got ${value}, expected ${choices.join(', ')}`);
    return choice ?? fallback;
  }

  /** A whole number in decimal digits; `fallback` where the flag is absent or wrong. */
  integer<Fallback extends number | null>(name: string, { min, max }: Range, fallback: Fallback): number | Fallback {
    const value = this.text(name);
    if (value === null) return fallback;
    const number = /^-?\d+$/.test(value) ? Number(value) : Number.NaN;
    if (number >= min && number <= max) return number;
    this.problem(`--${name}: got ${value}, expected a whole number from ${min} to ${max}`);
    return fallback;
  }

  /** A decimal fraction in a range, ends included; `fallback` where the flag is absent or wrong. */
  fraction<Fallback extends number | null>(name: string, { min, max }: Range, fallback: Fallback): number | Fallback {
    const value = this.text(name);
    if (value === null) return fallback;
    const number = /^-?(\d+\.?\d*|\.\d+)$/.test(value) ? Number(value) : Number.NaN;
    if (number >= min && number <= max) return number;
    this.problem(`--${name}: got ${value}, expected a decimal fraction from ${min} to ${max}`);
    return fallback;
  }

  /** @throws EspalierError with every problem noted, "usage" unless all share a more exact code. */
  throwProblems(command: string): void {
    const first = this.#problems[0];
    if (first === undefined) return;
    const code = this.#problems.every((problem) => problem.code === first.code) ? first.code : 'usage';
    const action = `see \`espalier ${command} --help\``;
    throw new EspalierError(code, this.#problems.map((problem) => problem.text).join('; '), { action });
  }
}
