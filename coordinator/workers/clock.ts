// Time as the fleet sees it: tests drive their own.

export interface Clock {
  /** Milliseconds that only grow. */
  now(): number;
  /** Calls back once after `ms`, unless the returned function was called. Does not keep the process alive. */
  after(ms: number, callback: () => void): () => void;
}

export const SYSTEM_CLOCK: Clock = {
  now: () => performance.now(),
  after(ms, callback) {
    const timer = setTimeout(callback, ms).unref();
    return () => clearTimeout(timer);
  },
};
