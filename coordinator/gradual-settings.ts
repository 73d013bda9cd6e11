// What `--method gradual` alone reads. One table: flags and their help, campaigns, stored jobs, command lines in reports and the
// key of a run's state all come from it. A new setting is a row here, its place where it is read, and rows in
// campaign.schema.json, docs/cli.md, docs/campaign.md and docs/method.md, which tests compare with the table.

interface Choice {
  /** Of `espalier prune` without its dashes, and the key of a campaign. */
  readonly flag: string;
  /** The default first. Runs that are stored without the setting mean it: one that is exchanged makes them mean something else. */
  readonly values: readonly [string, string, ...string[]];
  /** What help says before the values. */
  readonly means: string;
}

export const GRADUAL_SETTINGS = {
  steps: { flag: 'gradual-steps', values: ['grid', 'one'], means: 'of gradual pruning to a budget' },
  refit: {
    flag: 'refit',
    values: ['weights', 'scales', 'all-weights', 'by-share'],
    means: 'what each step fits to the dense model',
  },
  positionWeights: { flag: 'position-weights', values: ['gradient', 'equal'], means: 'of positions in a refit' },
  rearrangeSteps: { flag: 'rearrange-steps', values: ['off', 'on'], means: 'rearrangement in each step' },
  split: { flag: 'split', values: ['importance', 'divergence'], means: 'what a step divides heads and neurons by' },
} as const satisfies Readonly<Record<string, Choice>>;

type Rows = typeof GRADUAL_SETTINGS;
type Name = keyof Rows;
export type GradualFlag = Rows[Name]['flag'];

/** All of them, each with one of its values. */
export type GradualSettings = { readonly [Own in Name]: Rows[Own]['values'][number] };

/** The keys of a campaign. */
export type GradualKeys = { readonly [Own in Name as Rows[Own]['flag']]?: GradualSettings[Own] };

const NAMES = Object.keys(GRADUAL_SETTINGS) as Name[];

/** Those that were given. @param ofFlag one of the values, or null: not given. */
export function readGradual(
  ofFlag: (flag: GradualFlag, values: readonly string[]) => string | null | undefined,
): Partial<GradualSettings> {
  return Object.fromEntries(
    NAMES.flatMap((name) => {
      const { flag, values } = GRADUAL_SETTINGS[name];
      const value = ofFlag(flag, values) ?? null;
      return value === null ? [] : [[name, value]];
    }),
  );
}

/** What a request has of those that were given: those that are not as by default, or nothing. */
export function gradualChanges(given: Partial<GradualSettings>): { readonly gradual?: Partial<GradualSettings> } {
  const changes = NAMES.flatMap((name) => {
    const value = given[name];
    return value === undefined || value === GRADUAL_SETTINGS[name].values[0] ? [] : [[name, value] as const];
  });
  return changes.length === 0 ? {} : { gradual: Object.fromEntries(changes) };
}

/** All settings of a request. */
export function gradualSettings(changes: Partial<GradualSettings> | undefined): GradualSettings {
  const defaults = Object.fromEntries(NAMES.map((name) => [name, GRADUAL_SETTINGS[name].values[0]]));
  return { ...(defaults as unknown as GradualSettings), ...changes };
}

/** Each with its flag, in the order of the table. */
export function gradualWords(settings: Partial<GradualSettings>): readonly (readonly [GradualFlag, string])[] {
  return NAMES.flatMap((name) => {
    const value = settings[name];
    return value === undefined ? [] : [[GRADUAL_SETTINGS[name].flag, value] as const];
  });
}

/** What is wrong with changes that an earlier or a later version may have stored. */
export function gradualProblems(changes: object): string[] {
  return Object.entries(changes).flatMap(([name, value]) => {
    if (!Object.hasOwn(GRADUAL_SETTINGS, name)) return [`gradual: got ${name}, expected one of ${NAMES.join(', ')}`];
    const { flag, values } = GRADUAL_SETTINGS[name as Name];
    return (values as readonly unknown[]).includes(value)
      ? []
      : [`${flag}: got ${value}, expected one of ${values.join(', ')}`];
  });
}
