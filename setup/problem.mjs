// The failures that set-up expects: a missing tool, no network, a full disk. Each is one line that says what was wrong
// and what to do; program.mjs prints it without a stack trace.

export class SetupProblem extends Error {
  constructor(message, options = {}) {
    super(message.replace(/\s*\n\s*/g, ' '), options);
    this.name = 'SetupProblem';
  }
}
