// What is told of one try of a task on one worker; nothing depends on it.
import { type CallContext, NO_CONTEXT } from '../../shared/rpc/trace-metadata.ts';

export interface TaskTry {
  /** For the worker. */
  readonly context: CallContext;
  end(error?: unknown): void;
}

export type BeginTry = (task: { readonly id: string; readonly kind: string }) => TaskTry;

/** Tells nothing. */
export const beginUntoldTry: BeginTry = () => ({ context: NO_CONTEXT, end: () => {} });
