// Reads a data file into rows of named values: JSON lines, or CSV and TSV with a header row. Every failure names the
// file and the line.
import { readFile, stat } from 'node:fs/promises';
import { extname } from 'node:path';
import { CsvError, parse } from 'csv-parse/sync';
import { EspalierError } from '../shared/errors.ts';

export interface Row {
  /** Line of the file at which the row starts, from 1. */
  readonly line: number;
  /** Values by column; all strings where the file is CSV or TSV. */
  readonly values: Readonly<Record<string, unknown>>;
}

const READERS: Readonly<Record<string, (path: string, text: string) => Row[]>> = {
  '.jsonl': readJsonLines,
  '.ndjson': readJsonLines,
  '.json-lines': readJsonLines,
  '.csv': readCsv,
  '.tsv': readTsv,
};

/** The rows of a data file; blank lines are skipped, a byte order mark and CRLF are taken as they come.
 * @throws EspalierError "data_not_found", "data_empty", or "data_format" with file and line. */
export async function readRows(path: string): Promise<Row[]> {
  return parseRows(path, await readDataFile(path));
}

/** The bytes of a data file. @throws EspalierError "data_not_found" or "data_format" when there is no such file. */
export async function readDataFile(path: string): Promise<Buffer> {
  const found = await stat(path).catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT' || error.code === 'ENOTDIR')
      throw new EspalierError('data_not_found', `${path}: not found`);
    throw error;
  });
  if (found.isDirectory())
    throw new EspalierError('data_format', `${path}: got a folder, expected a file`, GIVE_A_FILE);
  readerOf(path);
  return readFile(path);
}

/** The rows in the bytes of a data file; `path` tells the format. */
export function parseRows(path: string, bytes: Buffer): Row[] {
  const read = readerOf(path);
  const rows = read(path, decode(path, bytes));
  if (rows.length === 0) throw new EspalierError('data_empty', `${path}: got no rows`);
  return rows;
}

const NEWLINE = 10;
const CARRIAGE_RETURN = 13;

const GIVE_A_FILE = { action: 'give a .jsonl, .csv or .tsv file' };

function readerOf(path: string): (path: string, text: string) => Row[] {
  const extension = extname(path).toLowerCase();
  const read = Object.hasOwn(READERS, extension) ? READERS[extension] : undefined;
  if (read) return read;
  const expected = Object.keys(READERS).join(', ');
  throw new EspalierError('data_format', `${path}: got extension "${extension}", expected ${expected}`, GIVE_A_FILE);
}

function decode(path: string, bytes: Buffer): string {
  const nul = bytes.indexOf(0);
  if (nul >= 0) throw formatError(path, lineAt(bytes, nul), 'got a NUL byte, expected UTF-8 text');
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(bytes);
  } catch {
    throw formatError(path, firstInvalidLine(bytes), 'got bytes that are not UTF-8');
  }
}

function lineAt(bytes: Buffer, index: number): number {
  let line = 1;
  for (let at = bytes.indexOf(10); at >= 0 && at < index; at = bytes.indexOf(10, at + 1)) line++;
  return line;
}

// A newline byte is never part of a longer UTF-8 character, so lines can be tried one by one.
function firstInvalidLine(bytes: Buffer): number {
  let line = 1;
  for (let start = 0; start < bytes.length; line++) {
    const newline = bytes.indexOf(10, start);
    const end = newline < 0 ? bytes.length : newline;
    try {
      new TextDecoder('utf-8', { fatal: true }).decode(bytes.subarray(start, end));
    } catch {
      return line;
    }
    start = end + 1;
  }
  return line;
}

function readJsonLines(path: string, text: string): Row[] {
  const rows: Row[] = [];
  text.split('\n').forEach((lineText, i) => {
    if (lineText.trim() === '') return;
    let values: unknown;
    try {
      values = JSON.parse(lineText);
    } catch (error) {
      throw formatError(path, i + 1, `got no JSON: ${(error as Error).message}`);
    }
    if (typeof values !== 'object' || values === null || Array.isArray(values)) {
      const got = Array.isArray(values) ? 'an array' : values === null ? 'null' : `a ${typeof values}`;
      throw formatError(path, i + 1, `got ${got}, expected a JSON object`);
    }
    rows.push({ line: i + 1, values: values as Record<string, unknown> });
  });
  return rows;
}

const CSV_OPTIONS = {
  info: true,
  skip_empty_lines: true,
  relax_column_count: true,
  record_delimiter: ['\r\n', '\n', '\r'],
};

function readCsv(path: string, text: string): Row[] {
  const bytes = Buffer.from(text);
  let records: { record: string[]; info: { bytes: number } }[];
  try {
    records = parse(bytes, CSV_OPTIONS) as unknown as typeof records;
  } catch (error) {
    if (!(error instanceof CsvError)) throw error;
    const line = typeof error.lines === 'number' ? error.lines : 1;
    throw formatError(path, line, `got no CSV: ${error.message}`);
  }
  // csv-parse counts lines where records end, and CRLF in quotes twice; so lines are counted here, up to each start.
  let at = 0;
  let line = 1;
  const lineOf = (start: number): number => {
    for (; at < start || bytes[at] === NEWLINE || bytes[at] === CARRIAGE_RETURN; at++)
      if (bytes[at] === NEWLINE || (bytes[at] === CARRIAGE_RETURN && bytes[at + 1] !== NEWLINE)) line++;
    return line;
  };
  let end = 0;
  const located = records.map(({ record, info }) => {
    const start = end;
    end = info.bytes;
    return { fields: record, line: lineOf(start) };
  });
  return nameColumns(path, located);
}

// The TSV files of GLUE hold quotes as they are: a field is what stands between tabs.
function readTsv(path: string, text: string): Row[] {
  const records = text
    .split('\n')
    .map((lineText, i) => ({ text: lineText.endsWith('\r') ? lineText.slice(0, -1) : lineText, line: i + 1 }))
    .filter((record) => record.text !== '');
  return nameColumns(
    path,
    records.map((record) => ({ fields: record.text.split('\t'), line: record.line })),
  );
}

function nameColumns(path: string, records: readonly { fields: readonly string[]; line: number }[]): Row[] {
  if (records.length === 0) return [];
  const [header, ...body] = records;
  const repeated = header.fields.find((name, i) => header.fields.indexOf(name) !== i);
  if (repeated !== undefined) throw formatError(path, header.line, `got column "${repeated}" twice`);
  return body.map(({ fields, line }) => {
    if (fields.length !== header.fields.length)
      throw formatError(path, line, `got ${fields.length} columns, expected ${header.fields.length} as in the header`);
    return { line, values: Object.fromEntries(header.fields.map((name, i) => [name, fields[i]])) };
  });
}

function formatError(path: string, line: number, problem: string): EspalierError {
  return new EspalierError('data_format', `${path}:${line}: ${problem}`);
}
