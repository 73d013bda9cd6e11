// `npm run demo`: prunes the example model to half its size on sentences made on the spot, and measures the result.

import fs from 'node:fs';
import path from 'node:path';
import { generateReviews, writeReviews } from '../examples/generate-reviews.mjs';
import { runInForeground } from './program.mjs';

const MODEL = 'examples/mini-sst2';
const FOLDER = 'demo-output';
const BUDGET = '0.5';
const TRAIN_COUNT = 4096;
const DEV_COUNT = 1000;

/** The first line of the demo: what it is going to do. */
export function announce() {
  console.log(
    `demo: prunes ${MODEL} (a 4-layer BERT for sentiment) to ${BUDGET} of its MACs; results go to ${FOLDER}/`,
  );
}

/** Runs the demo in a checkout that is set up. @returns the exit code of `espalier prune`. */
export async function runDemo(context) {
  const startMs = performance.now();
  const train = path.join(FOLDER, 'train.jsonl');
  const dev = path.join(FOLDER, 'dev.jsonl');
  fs.mkdirSync(path.join(context.root, FOLDER), { recursive: true });
  // From one stream, whose sentences all differ: none of those that measure was used to prune.
  const reviews = generateReviews({ count: TRAIN_COUNT + DEV_COUNT, seed: 1 });
  writeReviews(path.join(context.root, train), reviews.slice(0, TRAIN_COUNT));
  writeReviews(path.join(context.root, dev), reviews.slice(TRAIN_COUNT));
  console.log(`demo: wrote ${TRAIN_COUNT} sentences to ${train} and ${DEV_COUNT} to ${dev}`);

  const out = path.join(FOLDER, 'pruned');
  const args = ['prune', MODEL, '--data', train, '--eval', dev, '--budget', BUDGET, '--out', out, '--force'];
  console.log(`demo: npx espalier ${args.join(' ')}`);
  const env = { TF_CPP_MIN_LOG_LEVEL: '2', ...context.env };
  const exitCode = await runInForeground(context, ['cli/espalier.mjs', ...args], env);
  if (exitCode !== 0) return exitCode;

  const seconds = ((performance.now() - startMs) / 1000).toFixed(0);
  console.log(
    `demo: done in ${seconds} s; the pruned model is ${out}/${BUDGET}. Next: npx espalier inspect ${out}/${BUDGET}`,
  );
  return 0;
}
