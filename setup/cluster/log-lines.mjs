// Makes lines for a terminal out of what the processes of a cluster write: JSON logs of ours, and logs of nats-server, of
// which only those matter that tell of trouble.

// One line a task: for machines.
const TOO_MANY = ['task computed'];
const COMMON = ['time', 'level', 'message', 'process', 'pid'];
// The launcher asks whether NATS greets, and goes before TLS begins.
const PROBED = /^127\.0\.0\.1:\d+ - cid:\d+ - TLS handshake error: EOF$/;
const MAX_LINE = 2000;
// What TensorFlow says of itself when it is loaded: of no use to anyone here.
const CHATTER = /^(WARNING: All log messages before absl::|[IW]\d{4} \d\d:\d\d:\d\d[\d.]* )/;
// [71] 2026/01/31 10:20:30.123456 [INF] Server is ready
const NATS_LINE = /^\[\d+\] \S+ (\S+) \[(\w+)\] (.*)$/;

/** @returns the line to show, or null when it says nothing that a user of the cluster needs. */
export function formatLine(name, line) {
  const [, natsTime, natsLevel, natsText] = NATS_LINE.exec(line) ?? [];
  if (natsLevel !== undefined) {
    if (PROBED.test(natsText)) return null;
    const level = { WRN: 'warning: ', ERR: 'error: ', FTL: 'error: ' }[natsLevel];
    return level === undefined ? null : show(natsTime.slice(0, 8), name, `${level}${natsText}`);
  }
  if (CHATTER.test(line)) return null;
  const entry = parseEntry(line);
  if (entry === undefined) return line.trim() === '' ? null : show(clock(new Date()), name, line);
  if (TOO_MANY.includes(entry.message)) return null;
  const level = ['info', undefined].includes(entry.level) ? '' : `${entry.level}: `;
  const fields = Object.entries(entry).filter(([key]) => !COMMON.includes(key));
  const text = [`${level}${entry.message}`, ...fields.map(([key, value]) => `${key}=${plain(value)}`)].join('  ');
  return show(clock(new Date(entry.time)), name, text);
}

/** Cuts a stream into lines and hands each on. A line without an end is handed on in parts. */
export function eachLine(stream, onLine) {
  let partial = '';
  stream.setEncoding('utf8').on('data', (text) => {
    const lines = (partial + text).split('\n');
    partial = lines.pop();
    if (partial.length > 16 * MAX_LINE) {
      lines.push(partial);
      partial = '';
    }
    for (const line of lines) onLine(line);
  });
  stream.on('end', () => {
    if (partial !== '') onLine(partial);
  });
}

function show(time, name, text) {
  const line = `${time} ${name.padEnd(11)} ${text}`;
  return line.length > MAX_LINE ? `${line.slice(0, MAX_LINE)} …` : line;
}

function parseEntry(line) {
  if (!line.startsWith('{')) return undefined;
  try {
    const entry = JSON.parse(line);
    return typeof entry.message === 'string' ? entry : undefined;
  } catch {
    return undefined;
  }
}

function plain(value) {
  if (typeof value === 'number' && !Number.isInteger(value)) return value.toPrecision(3);
  return typeof value === 'string' ? value : JSON.stringify(value);
}

function clock(date) {
  const two = (number) => String(number).padStart(2, '0');
  if (Number.isNaN(date.getTime())) return '--:--:--';
  return `${two(date.getHours())}:${two(date.getMinutes())}:${two(date.getSeconds())}`;
}
