// The form of a campaign: campaign.schema.json, which is shipped, is what checks it. Its messages become one clear line a
// place, with what was got, what was expected, and the key that was probably meant.
import { readFileSync } from 'node:fs';
import path from 'node:path';
import { Ajv2020, type ErrorObject, type ValidateFunction } from 'ajv/dist/2020.js';
import { projectRoot } from '../../shared/project-root.ts';
import type { CampaignFile } from './campaign-file.ts';
import { type CampaignProblem, valueText } from './campaign-problem.ts';
import { nearest } from './nearest.ts';

export const SCHEMA_FILE = 'coordinator/campaign/campaign.schema.json';

/** More values than a campaign of the most jobs has with every setting given. */
const MOST_VALUES = 500_000;
const MOST_KEYS = 100;
const MOST_CHARACTERS = 8 * 1024 * 1024;
const DEEPEST = 16;

interface SchemaPart {
  readonly type?: string | readonly string[];
  readonly enum?: readonly string[];
  readonly properties?: Readonly<Record<string, unknown>>;
  readonly $ref?: string;
  readonly minimum?: number;
  readonly maximum?: number;
  readonly maxLength?: number;
  readonly pattern?: string;
  readonly exclusiveMaximum?: number;
}

let compiled: { readonly schema: SchemaPart; readonly validate: ValidateFunction<CampaignFile> } | undefined;

/** Checks any value against the schema. @returns the campaign when there is nothing wrong, else the problems. */
export function checkSchema(value: unknown): { campaign: CampaignFile } | { problems: CampaignProblem[] } {
  const tooLarge = sizeProblem(value);
  if (tooLarge !== null) return { problems: [tooLarge] };
  const { validate } = schema();
  if (validate(value)) return { campaign: value };
  const problems = new Map<string, CampaignProblem>();
  for (const error of validate.errors ?? []) {
    const problem = problemOf(error);
    // A wrong value can break several rules at once, which make one problem of it.
    problems.set(JSON.stringify([problem.path, problem.text]), problem);
  }
  return { problems: [...problems.values()] };
}

function schema() {
  if (compiled === undefined) {
    const parsed = JSON.parse(readFileSync(path.join(projectRoot(), SCHEMA_FILE), 'utf8')) as SchemaPart;
    const ajv = new Ajv2020({ strict: true, allErrors: true, verbose: true, allowUnionTypes: true });
    compiled = { schema: parsed, validate: ajv.compile<CampaignFile>(parsed) };
  }
  return compiled;
}

function problemOf(error: ErrorObject): CampaignProblem {
  const at = pathOf(error.instancePath);
  const part = error.parentSchema as SchemaPart;
  const params = error.params as Record<string, string>;
  const unknown = params.unevaluatedProperty ?? params.additionalProperty;
  if (unknown !== undefined) return formProblem([...at, unknown], `unknown${hint(unknown, keysOf(part))}`);
  if (error.keyword === 'required') return formProblem([...at, params.missingProperty], 'missing');
  const isBudget = [at[1], at[2]].some((key) => key === 'budgets' || key === 'latency' || key === 'max-drop');
  const code = isBudget ? budgetCode(error) : 'campaign_format';
  const choices = part.enum ?? [];
  const guess = typeof error.data === 'string' ? hint(error.data, choices) : '';
  return { code, path: at, text: `got ${valueText(error.data)}, expected ${expectedText(error, part)}${guess}` };
}

function formProblem(at: readonly (string | number)[], text: string): CampaignProblem {
  return { code: 'campaign_format', path: at, text };
}

function budgetCode({ keyword }: ErrorObject): 'budget_out_of_range' | 'campaign_format' {
  return keyword.startsWith('exclusive') ? 'budget_out_of_range' : 'campaign_format';
}

function expectedText({ keyword, params }: ErrorObject, part: SchemaPart): string {
  if (keyword === 'minItems') return `at least ${(params as { limit: number }).limit}`;
  if (keyword === 'maxItems') return `at most ${(params as { limit: number }).limit}`;
  if (part.enum !== undefined) return part.enum.join(', ');
  const types = [part.type ?? []].flat();
  if (part.exclusiveMaximum !== undefined)
    return keyword.startsWith('exclusive') ? 'more than 0 and less than 1' : 'a decimal fraction such as 0.5';
  if (part.type === 'number') return `a number from ${part.minimum} to ${part.maximum}`;
  if (types.includes('integer')) return `a whole number from ${part.minimum} to ${part.maximum}`;
  if (types.includes('object')) return types.length > 1 ? 'a path, or volume and path' : 'keys with values';
  if (types.includes('array')) return 'a list';
  if (types.includes('boolean')) return 'true or false';
  if (part.pattern !== undefined)
    return 'a name of letters, digits, ".", "_" and "-" that starts with a letter or digit, at most 100 of them';
  return `a text of 1 to ${part.maxLength} characters`;
}

/** Keys that the object of this part of the schema may have. */
function keysOf(part: SchemaPart): string[] {
  const own = Object.keys(part.properties ?? {});
  if (part.$ref === undefined) return own;
  const target = part.$ref
    .replace(/^#\//, '')
    .split('/')
    .reduce<unknown>((value, key) => (value as Record<string, unknown>)[key], schema().schema);
  return [...own, ...keysOf(target as SchemaPart)];
}

function hint(got: string, known: readonly string[]): string {
  const meant = nearest(got, known);
  return meant === null ? '' : `; did you mean ${meant}?`;
}

/** "/jobs/3/eval" → ['jobs', 3, 'eval']. */
function pathOf(pointer: string): (string | number)[] {
  const parts = pointer.split('/').slice(1);
  return parts.map((part) => {
    const text = part.replaceAll('~1', '/').replaceAll('~0', '~');
    return /^\d+$/.test(text) ? Number(text) : text;
  });
}

/** Bounds the work of all that follows: aliases of YAML can make a short text into a value without end. */
function sizeProblem(value: unknown): CampaignProblem | null {
  const left = { values: MOST_VALUES, characters: MOST_CHARACTERS };
  const isTooLarge = (part: unknown, depth: number): boolean => {
    left.values -= 1;
    if (typeof part === 'string') left.characters -= part.length;
    if (left.values < 0 || left.characters < 0 || depth > DEEPEST) return true;
    if (typeof part !== 'object' || part === null) return false;
    const keys = Array.isArray(part) ? [] : Object.keys(part);
    if (keys.length > MOST_KEYS) return true;
    for (const key of keys) left.characters -= key.length;
    return Object.values(part).some((inner) => isTooLarge(inner, depth + 1));
  };
  if (!isTooLarge(value, 0)) return null;
  const expected = `at most ${MOST_VALUES} values, ${MOST_KEYS} keys in one place and ${DEEPEST} levels`;
  return formProblem([], `got more than a campaign can hold, expected ${expected}`);
}
