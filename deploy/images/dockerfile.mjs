// Reads Dockerfiles: those instructions that this project's use, and no others. Who has no container engine can carry a
// stage out from this, and tests can look at it.

const INSTRUCTIONS = [
  ...['ARG', 'FROM', 'ENV', 'RUN', 'COPY', 'WORKDIR', 'USER', 'LABEL'],
  ...['EXPOSE', 'STOPSIGNAL', 'HEALTHCHECK', 'ENTRYPOINT', 'CMD'],
];
// What BuildKit passes to every command without a declaration.
const PATH = '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin';

/** @typedef {{ line: number, name: string, flags: [string, string][], text: string }} Instruction `text` is what follows
 * the flags, its variables not yet replaced. */

/** @returns {{ args: Instruction[], stages: { base: string, name: string | null, line: number, instructions: Instruction[] }[] }}
 * `args`: those before the first stage. @throws Error that names the line of what is not understood. */
export function parseDockerfile(text) {
  const args = [];
  const stages = [];
  for (const instruction of instructionsOf(text)) {
    const { name, line, text: rest } = instruction;
    if (name === 'FROM') {
      const [, base, , stage = null] = /^(\S+)(\s+AS\s+(\S+))?$/i.exec(rest) ?? fail(line, `FROM ${rest}`);
      stages.push({ base, name: stage, line, instructions: [] });
    } else if (stages.length > 0) stages.at(-1).instructions.push(instruction);
    else if (name === 'ARG') args.push(instruction);
    else fail(line, `${name} before FROM`);
  }
  return { args, stages };
}

function* instructionsOf(text) {
  let joined = '';
  let line = 0;
  for (const [index, source] of text.split('\n').entries()) {
    if (/^\s*#/.test(source) || (joined === '' && source.trim() === '')) continue;
    if (joined === '') line = index + 1;
    joined += source
      .replace(/\\\s*$/, '')
      .trim()
      .concat(' ');
    if (/\\\s*$/.test(source)) continue;
    yield instructionOf(joined.trim(), line);
    joined = '';
  }
  if (joined !== '') fail(line, 'the file ends within an instruction');
}

function instructionOf(source, line) {
  const [, name, rest] = /^([A-Z]+)\s+(.*)$/s.exec(source) ?? fail(line, source);
  if (!INSTRUCTIONS.includes(name)) fail(line, name);
  if (rest.includes('<<')) fail(line, 'a here-document');
  const flags = [];
  let text = rest;
  for (let match = FLAG.exec(text); match !== null; match = FLAG.exec(text)) {
    flags.push([match[1], match[2]]);
    text = text.slice(match[0].length);
  }
  return { line, name, flags, text };
}

const FLAG = /^--([a-z-]+)=(\S+)\s+/;

/** What a stage comes to: the image's configuration, and for each RUN and COPY a call of `run` or `copy`, in order.
 * @param stage one of `parseDockerfile`. @param globalArgs values of the ARGs before the first stage.
 * @param buildArgs values by name, as --build-arg gives them. @param actions `run({ mounts, command, env, user, workdir })`
 * and `copy({ from, chown, sources, target, workdir })`; may be left out. @returns the configuration. */
export async function walkStage(stage, { globalArgs, buildArgs = {}, inherited = emptyConfig(), actions = {} }) {
  const config = structuredClone(inherited);
  const args = {};
  for (const { name, flags, text, line } of stage.instructions) {
    const expanded = name === 'RUN' || isList(text) ? text : expand(text, { ...args, ...config.env });
    switch (name) {
      case 'ARG': {
        const [key, fallback] = assignment(expanded);
        const value = buildArgs[key] ?? fallback ?? globalArgs[key];
        if (value !== undefined) args[key] = value;
        break;
      }
      case 'ENV':
        Object.assign(config.env, pairOf(expanded, line));
        break;
      case 'LABEL':
        Object.assign(config.labels, pairOf(expanded, line));
        break;
      case 'WORKDIR':
        config.workdir = expanded.startsWith('/') ? expanded : `${config.workdir}/${expanded}`;
        await actions.makeFolder?.(config.workdir);
        break;
      case 'USER':
        config.user = expanded;
        break;
      case 'EXPOSE':
        config.ports.push(...expanded.split(/\s+/).map(Number));
        break;
      case 'STOPSIGNAL':
        config.stopSignal = expanded;
        break;
      case 'ENTRYPOINT':
        config.entrypoint = listOf(text, line);
        break;
      case 'CMD':
        config.command = listOf(text, line);
        break;
      case 'HEALTHCHECK':
        if (text === 'NONE') config.health = null;
        else config.health = { ...Object.fromEntries(flags), command: listOf(text.replace(/^CMD\s+/, ''), line) };
        break;
      case 'RUN': {
        const mounts = flags.map(([flag, value]) => (flag === 'mount' ? mountOf(value) : fail(line, `--${flag}`)));
        const env = { PATH, ...args, ...config.env };
        await actions.run?.({ mounts, command: text, env, user: config.user, workdir: config.workdir });
        break;
      }
      case 'COPY': {
        const { from = null, chown = null, ...others } = Object.fromEntries(flags);
        if (Object.keys(others).length > 0) fail(line, `--${Object.keys(others)[0]}`);
        const sources = expanded.split(/\s+/);
        const target = sources.pop();
        await actions.copy?.({ from, chown, sources, target, workdir: config.workdir });
        break;
      }
    }
  }
  return config;
}

/** The configuration of an image without instructions. */
export function emptyConfig() {
  return {
    ...{ env: {}, labels: {}, ports: [], workdir: '/', user: null },
    ...{ entrypoint: [], command: [], health: null, stopSignal: null },
  };
}

/** Values of the ARGs before the first stage. */
export function globalArgsOf({ args }, buildArgs = {}) {
  const values = {};
  for (const { text } of args) {
    const [key, fallback] = assignment(expand(text, values));
    values[key] = buildArgs[key] ?? fallback;
  }
  return values;
}

/** The base of a stage, its variables replaced. */
export function baseOf(stage, globalArgs) {
  return expand(stage.base, globalArgs);
}

function expand(text, values) {
  return text.replace(/\$(?:\{(\w+)\}|(\w+))/g, (_, braced, plain) => values[braced ?? plain] ?? '');
}

function assignment(text) {
  const at = text.indexOf('=');
  return at < 0 ? [text, undefined] : [text.slice(0, at), unquoted(text.slice(at + 1))];
}

/** One pair an instruction, so that a reader needs no rules of quoting. */
function pairOf(text, line) {
  const [key, value] = assignment(text);
  if (value === undefined || (/\s/.test(value) && !text.endsWith('"'))) fail(line, text);
  return { [key]: value };
}

function unquoted(text) {
  return /^".*"$/s.test(text) ? text.slice(1, -1) : text;
}

function isList(text) {
  return /(^|\s)\[/.test(text);
}

function listOf(text, line) {
  try {
    const list = JSON.parse(text);
    if (Array.isArray(list)) return list;
  } catch {}
  return fail(line, `${text}: not in the form ["program", "argument"], which needs no shell`);
}

/** Of RUN --mount: a secret, which may be missing. */
function mountOf(text) {
  return Object.fromEntries(text.split(',').map((part) => assignment(part)));
}

function fail(line, what) {
  throw new Error(`Dockerfile, line ${line}: not understood: ${what}`);
}
