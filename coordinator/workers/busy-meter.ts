// What share of the last minute something was busy, in two windows of half a minute.

const WINDOW_MS = 30_000;

export class BusyMeter {
  #busySinceMs: number | null = null;
  #windowStartMs: number;
  #windowBusyMs = 0;
  #before = { lengthMs: 0, busyMs: 0 };

  constructor(nowMs: number) {
    this.#windowStartMs = nowMs;
  }

  set(isBusy: boolean, nowMs: number): void {
    this.#settle(nowMs);
    this.#busySinceMs = isBusy ? nowMs : null;
  }

  /** 0 to 1. */
  ratio(nowMs: number): number {
    this.#settle(nowMs);
    const lengthMs = this.#before.lengthMs + nowMs - this.#windowStartMs;
    return lengthMs > 0 ? (this.#before.busyMs + this.#windowBusyMs) / lengthMs : 0;
  }

  #settle(nowMs: number): void {
    if (this.#busySinceMs !== null) {
      this.#windowBusyMs += nowMs - this.#busySinceMs;
      this.#busySinceMs = nowMs;
    }
    const lengthMs = nowMs - this.#windowStartMs;
    if (lengthMs < WINDOW_MS) return;
    this.#before = { lengthMs, busyMs: this.#windowBusyMs };
    this.#windowStartMs = nowMs;
    this.#windowBusyMs = 0;
  }
}
