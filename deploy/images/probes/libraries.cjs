// Run in a container: what the loader does not find of that which each library is linked with.
// usage: node -e TEXT-OF-THIS-FILE LOADER LIBRARY ...

const { spawnSync } = require('node:child_process');

const [, loader, ...libraries] = process.argv;
// The loader then lists and does not run.
const env = { ...process.env, LD_TRACE_LOADED_OBJECTS: '1' };

function missing(library) {
  const { stdout } = spawnSync(loader, [library], { env, encoding: 'utf8' });
  return [...new Set([...stdout.matchAll(/(\S+) => not found/g)].map(([, name]) => name))];
}

console.log(JSON.stringify(Object.fromEntries(libraries.map((library) => [library, missing(library)]))));
