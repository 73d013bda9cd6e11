// A coordinator process: parse, build, serve, release.
//
// SIGTERM drains, and so do Ctrl-C and a terminal that closes: nothing new is claimed, jobs that run are handed back, the API
// ends its calls, the lease is given up, exit 0. A second signal, or the end of the time for that, ends it as it stands: others
// take its jobs when its lease lapses.
import { realpathSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { toEspalierError } from '../shared/errors.ts';
import { drainAsked, END_SIGNALS } from '../shared/lifecycle.ts';
import { createLog } from '../shared/log.ts';
import { type CoordinatorConfig, parseCoordinatorConfig } from './config.ts';

const log = createLog({ process: 'coordinator', pid: process.pid });

/** The whole life of the process, which it ends. `espalier coordinator` comes in here. */
export async function runCoordinator(argv: readonly string[], env: NodeJS.ProcessEnv): Promise<void> {
  try {
    const command = parseCoordinatorConfig(argv, env);
    if (command.kind === 'help') process.stdout.write(command.text);
    else if (command.kind === 'print-config') process.stdout.write(`${JSON.stringify(command.config, null, 2)}\n`);
    else await serve(command.config);
  } catch (caught) {
    const error = toEspalierError(caught);
    // Asked to end before it served: there is nothing to drain.
    if (error.code === 'cancelled') process.exit(0);
    log.error('coordinator failed', {
      error,
      action: error.action,
      stack: error.code === 'internal' ? error.stack : undefined,
    });
    process.exit(error.exitCode);
  }
}

async function serve(config: CoordinatorConfig): Promise<void> {
  const draining = drainAsked(END_SIGNALS, 'coordinator');
  const { serveJobs } = await import('./serve-jobs.ts');
  await serveJobs(config, draining, log);
}

// As a program, but not where another one imports it for `runCoordinator`.
if (process.argv[1] !== undefined && realpathSync(process.argv[1]) === fileURLToPath(import.meta.url))
  void runCoordinator(process.argv.slice(2), process.env);
