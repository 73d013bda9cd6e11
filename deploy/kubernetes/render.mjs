#!/usr/bin/env node
// Renders k8s/ into k8s/rendered with kubectl, or compares what is there.

import { spawnSync } from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';
import { parseArgs } from 'node:util';
import { Problem, runScript } from '../new-files.mjs';
import { generatedSources, KUSTOMIZE, RENDERED, renderedFile } from './manifests.mjs';

const HELP = `Usage: npm run k8s:render [-- --check]

Writes nats.conf of k8s/base and k8s/overlays/dev, and k8s/rendered/*.yaml with kubectl (its kustomize must be ${KUSTOMIZE}).

  --check  writes nothing; fails where a file is not what would be written

KUBECTL names the program (default: kubectl).
`;
const ROOT = path.resolve(import.meta.dirname, '../..');

function main() {
  const { values } = parseArgs({ options: { check: { type: 'boolean' }, help: { type: 'boolean' } } });
  if (values.help) {
    process.stdout.write(HELP);
    return;
  }
  const version = JSON.parse(kubectl(['version', '--client', '--output=json'])).kustomizeVersion;
  if (version !== KUSTOMIZE) throw new Problem(`kubectl has kustomize ${version}, expected ${KUSTOMIZE}`);
  const others = [];
  const write = (file, text) => {
    const isThere = fs.existsSync(path.join(ROOT, file)) && fs.readFileSync(path.join(ROOT, file), 'utf8') === text;
    if (values.check && !isThere) others.push(file);
    if (!values.check && !isThere) fs.writeFileSync(path.join(ROOT, file), text);
    process.stdout.write(`${file}: ${isThere ? 'current' : values.check ? 'differs' : 'written'}\n`);
  };
  for (const [file, text] of Object.entries(generatedSources())) write(file, text);
  for (const [name, folder] of Object.entries(RENDERED))
    write(
      path.join('k8s/rendered', `${name}.yaml`),
      renderedFile(ROOT, name, kubectl(['kustomize', path.join(ROOT, folder)])),
    );
  if (others.length > 0) throw new Problem(`not current: ${others.join(', ')}; run \`npm run k8s:render\``);
}

function kubectl(args) {
  const program = process.env.KUBECTL || 'kubectl';
  const { status, stdout, stderr, error } = spawnSync(program, args, { encoding: 'utf8', maxBuffer: 64 * 1024 * 1024 });
  if (error)
    throw new Problem(`${program}: ${error.code === 'ENOENT' ? 'not found; KUBECTL names another' : error.message}`);
  if (status !== 0) throw new Problem(`${program} ${args[0]} failed: ${stderr.trim()}`);
  return stdout;
}

runScript('kubernetes-render', main);
