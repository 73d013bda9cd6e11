// The sentences of the demo and of the example campaign: made on the spot, the same every time.

import fs from 'node:fs';
import path from 'node:path';
import { generateReviews, writeReviews } from '../examples/generate-reviews.mjs';

export const DEMO_FOLDER = 'demo-output';
const TRAIN_COUNT = 4096;
const DEV_COUNT = 1000;

/** Writes both files. @returns their paths relative to the checkout. */
export function writeDemoData({ root }) {
  const train = path.join(DEMO_FOLDER, 'train.jsonl');
  const dev = path.join(DEMO_FOLDER, 'dev.jsonl');
  fs.mkdirSync(path.join(root, DEMO_FOLDER), { recursive: true });
  // From one stream, whose sentences all differ: none of those that measure was used to prune.
  const reviews = generateReviews({ count: TRAIN_COUNT + DEV_COUNT, seed: 1 });
  replace(path.join(root, train), reviews.slice(0, TRAIN_COUNT));
  replace(path.join(root, dev), reviews.slice(TRAIN_COUNT));
  return { train, dev, trainCount: TRAIN_COUNT, devCount: DEV_COUNT };
}

/** In one step: a command that reads the old file goes on with it. */
function replace(file, reviews) {
  const scratch = `${file}.part-${process.pid}`;
  writeReviews(scratch, reviews);
  fs.renameSync(scratch, file);
}
