// Rows of made-up words for the models of toy-model.ts, the same for the same seed.
import { writeFile } from 'node:fs/promises';
import { type RandomStream, randomStream } from '../../pruning/random.ts';
import { TOY_SYLLABLES } from './toy-model.ts';

export type ToyRow = Readonly<Record<string, unknown>>;

export const ENTITY_LABELS = ['O', 'B-PER', 'I-PER', 'B-LOC', 'I-LOC'];

/** One row of each task; classification has as many classes as `labels` names. */
const MAKERS = {
  sentence: (random: RandomStream, labels: readonly string[]) => ({
    sentence: words(random, 2, 8).join(' '),
    label: random.integer(labels.length),
  }),
  named: (random: RandomStream, labels: readonly string[]) => ({
    sentence: words(random, 2, 8).join(' '),
    label: labels[random.integer(labels.length)],
  }),
  pair: (random: RandomStream, labels: readonly string[]) => ({
    sentence1: words(random, 2, 5).join(' '),
    sentence2: words(random, 2, 5).join(' '),
    label: random.integer(labels.length),
  }),
  regression: (random: RandomStream) => ({
    sentence1: words(random, 2, 5).join(' '),
    sentence2: words(random, 2, 5).join(' '),
    label: Math.round(random.uniform() * 500) / 100,
  }),
  multi: (random: RandomStream, labels: readonly string[]) => ({
    text: words(random, 2, 8).join(' '),
    labels: labels.filter(() => random.uniform() < 0.4),
  }),
  entities: (random: RandomStream) => {
    const tokens = words(random, 3, 8);
    const tags = tokens.map(() => 'O');
    const at = random.integer(tokens.length);
    const kind = random.integer(2) === 0 ? 'PER' : 'LOC';
    tags[at] = `B-${kind}`;
    if (at + 1 < tags.length) tags[at + 1] = `I-${kind}`;
    return { tokens, ner_tags: tags };
  },
  question: (random: RandomStream) => {
    const inContext = words(random, 5, 14);
    const first = random.integer(inContext.length);
    const answer = inContext.slice(first, first + 1 + random.integer(2)).join(' ');
    const start = inContext.slice(0, first).reduce((sum, word) => sum + word.length + 1, 0);
    return {
      id: String(random.nextUint32()),
      question: `${words(random, 1, 3).join(' ')}`,
      context: inContext.join(' '),
      answers: { text: [answer], answer_start: [start] },
    };
  },
} as const;

export type ToyKind = keyof typeof MAKERS;

export function toyRows(
  kind: ToyKind,
  { count, seed = 0, labels = ['LABEL_0', 'LABEL_1'] }: { count: number; seed?: number; labels?: readonly string[] },
): ToyRow[] {
  const random = randomStream(seed, `toy ${kind}`);
  return Array.from({ length: count }, () => MAKERS[kind](random, labels));
}

/** Writes rows as the file's ending says; in TSV as GLUE has it, without quotes. @returns the file. */
export async function writeRows(file: string, rows: readonly ToyRow[]): Promise<string> {
  const table = [Object.keys(rows[0]), ...rows.map(Object.values)].map((cells) => cells.map(cellText));
  const lines = file.endsWith('.jsonl')
    ? rows.map((row) => JSON.stringify(row))
    : table.map((cells) => (file.endsWith('.csv') ? cells.map(quoted).join(',') : cells.join('\t')));
  await writeFile(file, `${lines.join('\n')}\n`);
  return file;
}

function cellText(value: unknown): string {
  return typeof value === 'string' ? value : JSON.stringify(value);
}

function quoted(text: string): string {
  return /[,"\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}

function words(random: RandomStream, least: number, most: number): string[] {
  return Array.from({ length: least + random.integer(most - least + 1) }, () =>
    Array.from({ length: 1 + random.integer(2) }, () => TOY_SYLLABLES[random.integer(TOY_SYLLABLES.length)]).join(''),
  );
}
