// The one place that knows which Node versions the project runs on. Old syntax only and no imports, so that an old
// Node gets as far as the message: whoever uses this imports everything newer after it has answered.

const RANGE = '>=20.11 <23';

/** One line that says what to install, or undefined when this Node will do. tfjs breaks on Node 23 and later. */
export function nodeVersionProblem(version = process.versions.node) {
  const [major, minor] = version.split('.').map(Number);
  const supported = (major > 20 || (major === 20 && minor >= 11)) && major < 23;
  return supported ? undefined : `Node ${version} will not do: install Node 20 or 22 (${RANGE})`;
}
