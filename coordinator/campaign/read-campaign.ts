// The text of a campaign file: YAML without custom tags, without keys given twice, with bounds on what aliases make of it;
// JSON is YAML too. Knows at which line each value stands.
import { type Document, isMap, isScalar, isSeq, LineCounter, type Node, parseDocument } from 'yaml';
import type { CampaignProblem } from './campaign-problem.ts';

export const MOST_CAMPAIGN_BYTES = 4 * 1024 * 1024;
/** Uses of an anchor times what it stands for; check-schema.ts bounds the size of the result. */
const MOST_ALIASES = 100_000;
const MOST_SYNTAX_PROBLEMS = 20;

export interface CampaignText {
  /** What it says; null where it cannot be read. */
  readonly value: unknown;
  /** Mistakes in the YAML itself. */
  readonly problems: readonly (CampaignProblem & { readonly line: number })[];
  /** Line, from 1, at which the value or, where it is missing, what should hold it stands. */
  lineOf(path: readonly (string | number)[]): number;
}

/** Parses the text of a campaign file; what is wrong with it is in the result. */
export function readCampaign(text: string): CampaignText {
  const failed = (line: number, problem: string): CampaignText => ({
    value: null,
    problems: [{ code: 'campaign_format', path: [], text: problem, line }],
    lineOf: () => line,
  });
  if (Buffer.byteLength(text) > MOST_CAMPAIGN_BYTES)
    return failed(1, `got ${Buffer.byteLength(text)} bytes, expected at most ${MOST_CAMPAIGN_BYTES}`);
  const lines = new LineCounter();
  let document: Document.Parsed;
  try {
    document = parseDocument(text, {
      version: '1.2',
      schema: 'core',
      customTags: [],
      resolveKnownTags: false,
      merge: false,
      uniqueKeys: true,
      lineCounter: lines,
      prettyErrors: false,
    });
  } catch (caught) {
    // So deeply nested that the parser gives up.
    return failed(1, `cannot be read: ${(caught as Error).message}`);
  }
  // An unknown tag is only a warning to the library, which then ignores it.
  const mistakes = [...document.errors, ...document.warnings].slice(0, MOST_SYNTAX_PROBLEMS);
  if (mistakes.length > 0)
    return {
      value: null,
      problems: mistakes.map(({ message, pos }) => ({
        code: 'campaign_format',
        path: [],
        text: plainMessage(message),
        line: lines.linePos(pos[0]).line,
      })),
      lineOf: () => 1,
    };
  try {
    const value: unknown = document.toJS({ maxAliasCount: MOST_ALIASES });
    return { value, problems: [], lineOf: (path) => lineOf(document, lines, path) };
  } catch (caught) {
    return failed(1, `cannot be read: ${plainMessage((caught as Error).message)}`);
  }
}

function lineOf(document: Document.Parsed, lines: LineCounter, path: readonly (string | number)[]): number {
  let node: unknown = document.contents;
  let offset = offsetOf(node) ?? 0;
  for (const part of path) {
    if (isMap(node)) {
      const pair = node.items.find(({ key }) => isScalar(key) && String(key.value) === part);
      if (pair === undefined) break;
      offset = offsetOf(pair.key) ?? offset;
      node = pair.value;
    } else if (isSeq(node) && typeof part === 'number' && part < node.items.length) {
      node = node.items[part];
      offset = offsetOf(node) ?? offset;
    } else break;
  }
  return lines.linePos(offset).line;
}

function offsetOf(node: unknown): number | undefined {
  return (node as Partial<Node> | null)?.range?.[0];
}

function plainMessage(message: string): string {
  return message.replace(/\s+/g, ' ').slice(0, 200);
}
