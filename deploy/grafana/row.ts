import type { PanelSpec } from './panels.ts';

/** Panels under one heading. */
export interface Row {
  readonly title: string;
  readonly panels: readonly PanelSpec[];
}
