// Terminals that close under a process, whether a signal tells of it or not. Node puts those that it began with back into their
// first mode when it exits, and aborts where one of them is gone; a descriptor that has become another file it leaves alone.
import { closeSync, openSync } from 'node:fs';
import { devNull } from 'node:os';
import { isatty } from 'node:tty';

/** Standard streams that are terminals. */
const terminals = new Set([0, 1, 2].filter((descriptor) => isatty(descriptor)));

/** Lets the process exit with its own code where a terminal among its standard streams has closed: as it exits, these streams
 * become the null device. */
export function leaveClosedTerminals(): void {
  if (terminals.size > 0 && !process.listeners('exit').includes(leave)) process.once('exit', leave);
}

function leave(): void {
  for (const descriptor of terminals) {
    if (isatty(descriptor)) continue;
    terminals.delete(descriptor);
    closeSync(descriptor);
    // Takes the lowest number that is free, which is this one: nothing else must get it while the process ends.
    openSync(devNull, 'r+');
  }
}
