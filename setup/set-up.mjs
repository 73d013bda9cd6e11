// The set-up as a story: every step says whether it is done, and is done again where it is not. A second run only looks.

import path from 'node:path';
import * as build from './build.mjs';
import * as commandLink from './command-link.mjs';
import * as engineBinding from './engine-binding.mjs';
import * as engineLibraries from './engine-libraries.mjs';
import * as engineOps from './engine-ops.mjs';
import { withLock } from './lock.mjs';
import * as natsServer from './nats-server.mjs';
import * as npmDependencies from './npm-dependencies.mjs';
import { ensurePlatform, ensureTools } from './tools.mjs';

export const ALL_STEPS = [npmDependencies, engineLibraries, engineBinding, engineOps, natsServer, commandLink, build];
export const BUILD_STEPS = [npmDependencies, build];

/** Brings the checkout to the state that `steps` stand for; says one line when there was nothing to do.
 * @throws SetupProblem when a tool is missing or a step fails; what was done so far is kept. */
export async function setUp(context, steps = ALL_STEPS) {
  const startMs = performance.now();
  ensurePlatform();
  if ((await pendingSteps(context, steps)).length === 0) {
    context.say(`everything is in place (${seconds(startMs)})`);
    return;
  }
  // The lock lies outside node_modules, which npm removes.
  const onWait = (pid) => context.say(`waiting for process ${pid}, which is setting up this checkout`);
  const lock = path.join(context.root, '.espalier', 'setup.lock');
  await withLock(lock, { onWait, signal: context.signal }, async () => {
    const pending = await pendingSteps(context, steps);
    await ensureTools(context, [...new Set(pending.flatMap((step) => step.tools))]);
    for (const step of steps) {
      // Asked again: an earlier step, such as a fresh node_modules, can undo a later one.
      if (await step.isReady(context)) continue;
      const stepStartMs = performance.now();
      context.say(`${step.title} ...`);
      await step.ensure(context);
      context.say(`${step.title}: done (${seconds(stepStartMs)})`);
    }
  });
  context.say(`ready (${seconds(startMs)})`);
}

async function pendingSteps(context, steps) {
  const pending = [];
  for (const step of steps) if (!(await step.isReady(context))) pending.push(step);
  return pending;
}

const seconds = (sinceMs) => `${((performance.now() - sinceMs) / 1000).toFixed(1)} s`;
