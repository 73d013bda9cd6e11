// Owns node_modules/.bin/espalier, so that `npx espalier` inside the checkout runs the checkout's own command.

import fs from 'node:fs';
import path from 'node:path';

export const title = 'espalier command';
export const tools = [];

const TARGET = '../../cli/espalier.mjs';

export async function isReady({ root }) {
  const stat = fs.lstatSync(linkFile(root), { throwIfNoEntry: false });
  return stat?.isSymbolicLink() === true && fs.readlinkSync(linkFile(root)) === TARGET;
}

export async function ensure({ root }) {
  fs.mkdirSync(path.dirname(linkFile(root)), { recursive: true });
  fs.rmSync(linkFile(root), { force: true });
  fs.symlinkSync(TARGET, linkFile(root));
}

const linkFile = (root) => path.join(root, 'node_modules', '.bin', 'espalier');
