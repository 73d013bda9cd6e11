// The files of a quality study: records as JSON, and Markdown of which a part is a table.
import { readFile, rename, writeFile } from 'node:fs/promises';

/** Records of a study, or none where there is no file. */
export async function readRecords<T>(file: string): Promise<T[]> {
  return (await recordsOf<T>(file)) ?? [];
}

/** Records of a study that was run. @throws Error that names the file where it is not there. */
export async function givenRecords<T>(file: string): Promise<T[]> {
  const records = await recordsOf<T>(file);
  if (records === null) throw new Error(`--merge: ${file}: got no such file, expected records of a study`);
  return records;
}

/** null: no file. */
async function recordsOf<T>(file: string): Promise<T[] | null> {
  let text: string;
  try {
    text = await readFile(file, 'utf8');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return null;
    throw error;
  }
  try {
    return JSON.parse(text) as T[];
  } catch (cause) {
    throw new Error(`${file}: ${(cause as Error).message}`, { cause });
  }
}

/** Records of several files, each once. @param nameOf the same of two records of one run.
 * @throws Error where two records of one run differ in more than how long it took. */
export function mergedRecords<T extends { readonly seconds: number }>(
  files: readonly (readonly T[])[],
  nameOf: (record: T) => string,
): T[] {
  const merged = new Map<string, T>();
  for (const record of files.flat()) {
    const name = nameOf(record);
    const known = merged.get(name);
    if (known === undefined) merged.set(name, record);
    else if (textOf(known) !== textOf(record)) throw new Error(`${name}: got two runs that differ, expected one`);
  }
  return [...merged.values()];
}

function textOf({ seconds, ...rest }: { readonly seconds: number }): string {
  return JSON.stringify(rest);
}

/** A line a record. @param order of two records, the same whatever the order of the runs. */
export function textOfRecords<T>(records: readonly T[], order: (a: T, b: T) => number): string {
  return `[\n${[...records]
    .sort(order)
    .map((record) => JSON.stringify(record))
    .join(',\n')}\n]\n`;
}

export async function writeAside(file: string, text: string): Promise<void> {
  await writeFile(`${file}.part`, text);
  await rename(`${file}.part`, file);
}

/** The text of a file of which one section of the second level is replaced, or added at the end. */
export async function withSection(file: string, heading: string, section: string): Promise<string> {
  const { before, others } = await sectionsOf(file, heading);
  return joined([before, ...others, section]);
}

/** The text of a file of which everything before the first heading of the second level is replaced. */
export async function withBeginning(file: string, beginning: string): Promise<string> {
  const { others } = await sectionsOf(file, null);
  return joined([beginning, ...others]);
}

async function sectionsOf(file: string, without: string | null) {
  const text = await readFile(file, 'utf8').catch(() => '');
  const [before, ...sections] = text.split(/^(?=## )/m);
  return { before, others: sections.filter((section) => without === null || !section.startsWith(without)) };
}

function joined(parts: readonly string[]): string {
  return `${parts.map((part) => part.trimEnd()).join('\n\n')}\n`;
}
