// `npm run demo`: prunes the example model to half its size on sentences made on the spot, and measures the result.

import path from 'node:path';
import { DEMO_FOLDER, writeDemoData } from './demo-data.mjs';
import { runInForeground } from './program.mjs';

const MODEL = 'examples/mini-sst2';
const BUDGET = '0.5';

/** The first line of the demo: what it is going to do. */
export function announce() {
  console.log(
    `demo: prunes ${MODEL} (a 4-layer BERT for sentiment) to ${BUDGET} of its MACs; results go to ${DEMO_FOLDER}/`,
  );
}

/** Runs the demo in a checkout that is set up. @returns the exit code of `espalier prune`. */
export async function runDemo(context) {
  const startMs = performance.now();
  const { train, dev, trainCount, devCount } = writeDemoData(context);
  console.log(`demo: wrote ${trainCount} sentences to ${train} and ${devCount} to ${dev}`);

  const out = path.join(DEMO_FOLDER, 'pruned');
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
