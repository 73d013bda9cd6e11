#!/usr/bin/env node
// Stands in for kubectl where a test wants to see what a script asks of it: objects are files of the folder that
// FAKE_KUBECTL_STATE names, and each call is a line of its file "calls".
import fs from 'node:fs';
import path from 'node:path';

const state = process.env.FAKE_KUBECTL_STATE;
const words = process.argv.slice(2);
fs.appendFileSync(path.join(state, 'calls'), `${words.join(' ')}\n`);
const text = words.join(' ');
const read = (name) => JSON.parse(fs.readFileSync(path.join(state, name), 'utf8'));

if (/ get namespace /.test(text)) {
  if (!fs.existsSync(path.join(state, 'namespace'))) {
    process.stderr.write('Error from server (NotFound): namespaces "espalier" not found\n');
    process.exit(1);
  }
  process.stdout.write('namespace/espalier\n');
} else if (/ get secrets /.test(text)) {
  const names = fs.readdirSync(state).filter((name) => name.endsWith('.json'));
  process.stdout.write(JSON.stringify({ kind: 'List', items: names.map(read) }));
} else if (/ apply .*--filename=-/.test(text)) {
  for (const item of JSON.parse(fs.readFileSync(0, 'utf8')).items)
    fs.writeFileSync(path.join(state, `${item.metadata.name}.json`), JSON.stringify(item));
} else {
  process.stderr.write(`unexpected: ${text}\n`);
  process.exit(1);
}
