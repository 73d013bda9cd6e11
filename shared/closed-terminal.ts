// The end of a process whose terminal has closed. Node puts the terminals that it began with back into their first mode when
// it exits, and aborts where one of them is gone.
import { isatty } from 'node:tty';

/** Lets a process that has heard SIGHUP, and does not end at once by it, end by that signal where Node would abort: as the
 * last thing that it does, and only where a terminal among its standard streams has closed. */
export function endWithTerminal(): void {
  const terminals = [0, 1, 2].filter((descriptor) => isatty(descriptor));
  if (terminals.length === 0) return;
  process.once('SIGHUP', () => {
    process.once('exit', () => {
      if (terminals.every((descriptor) => isatty(descriptor))) return;
      process.removeAllListeners('SIGHUP');
      process.kill(process.pid, 'SIGHUP');
    });
  });
}
