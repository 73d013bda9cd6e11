// What is rendered of k8s/, and how a rendered file tells what it was made from. A digest of the sources in its header
// shows without any tool whether it is current; one of its own text, whether somebody has edited it.

import { createHash } from 'node:crypto';
import fs from 'node:fs';
import path from 'node:path';
import { natsConfiguration } from '../nats/configuration.mjs';

/** Rendered files by name (k8s/rendered/NAME.yaml), each with its folder. */
export const RENDERED = {
  dev: 'k8s/overlays/dev',
  gpu: 'k8s/overlays/gpu',
  kueue: 'k8s/overlays/kueue',
  'existing-nats': 'k8s/examples/existing-nats',
  'large-gpu-pool': 'k8s/examples/large-gpu-pool',
};

/** Files of nats-server by path, each with what all streams together may take on disk. */
const NATS_STORE_GB = { 'k8s/base/nats.conf': 110, 'k8s/overlays/dev/nats.conf': 15 };

/** Sources that are made of others: texts by path. Users of NATS are the roles in their certificates. */
export function generatedSources() {
  const at = (name) => `/etc/espalier/tls/${name}`;
  const files = Object.entries(NATS_STORE_GB).map(([file, storeGb]) => [
    file,
    natsConfiguration({
      listen: '0.0.0.0:4222',
      monitor: '0.0.0.0:8222',
      store: '/data',
      storeGb,
      tls: { ca: at('ca.crt'), certificate: at('tls.crt'), key: at('tls.key') },
      keys: null,
    }),
  ]);
  return Object.fromEntries(files);
}

/** Another version may write the same objects in another form. */
export const KUSTOMIZE = 'v5.8.1';

/** The folder and all those that its kustomization takes in, sorted. */
function foldersOf(root, folder) {
  const text = fs.readFileSync(path.join(root, folder, 'kustomization.yaml'), 'utf8');
  const others = [...text.matchAll(/^ {2}- (\.\.\/\S+)$/gm)].map(([, name]) => path.join(folder, name));
  return [...new Set([folder, ...others.flatMap((other) => foldersOf(root, other))])].sort();
}

/** Digest of the names and texts of all that a rendered file is made of. @param root folder of the repository. */
export function sourcesDigest(root, name) {
  const hash = createHash('sha256');
  for (const folder of foldersOf(root, RENDERED[name]))
    for (const file of fs.readdirSync(path.join(root, folder)).sort()) {
      const text = fs.readFileSync(path.join(root, folder, file));
      hash.update(`${folder}/${file}\n${text.length}\n`).update(text);
    }
  return hash.digest('hex');
}

/** @param body what kustomize has written. @returns the text of the file. */
export function renderedFile(root, name, body) {
  const digest = createHash('sha256').update(body).digest('hex');
  return [
    `# Made of ${RENDERED[name]} by \`npm run k8s:render\`; not to be edited.`,
    `# kustomize: ${KUSTOMIZE}`,
    `# sources: sha256:${sourcesDigest(root, name)}`,
    `# text below: sha256:${digest}`,
    body,
  ].join('\n');
}

/** Why the file of this name is not current, or null. Needs no tool. */
export function staleness(root, name) {
  const file = path.join('k8s/rendered', `${name}.yaml`);
  if (!fs.existsSync(path.join(root, file))) return `${file}: missing`;
  const text = fs.readFileSync(path.join(root, file), 'utf8');
  const body = text.split('\n').slice(4).join('\n');
  if (text === renderedFile(root, name, body)) return null;
  return `${file}: not what \`npm run k8s:render\` makes of the sources`;
}
