// The home of a cluster's job: its stages in the record and the object store, and its outputs in a folder of this machine
// until they are put into the object store as well.
import { mkdir } from 'node:fs/promises';
import path from 'node:path';
import { EspalierError } from '../../shared/errors.ts';
import { ClusterStages, type ClusterStagesOptions } from './cluster-stages.ts';
import type { JobHome } from './stage-store.ts';

export interface ClusterHomeOptions extends ClusterStagesOptions {
  /** Where outputs are written; removed by whoever made it. */
  readonly folder: string;
  /** Texts of the job's budgets. */
  readonly budgets: readonly string[];
}

export class ClusterHome extends ClusterStages implements JobHome {
  readonly #folder: string;
  readonly #budgets: readonly string[];

  constructor(options: ClusterHomeOptions) {
    super(options);
    this.#folder = options.folder;
    this.#budgets = options.budgets;
  }

  async staging(budget: string): Promise<string> {
    // The user's text names no folder here: its place among the budgets does.
    const index = this.#budgets.indexOf(budget);
    if (index < 0) throw new EspalierError('internal', `staging: got budget ${budget}, which the job does not have`);
    return this.#made(String(index));
  }

  scratch(): Promise<string> {
    return this.#made('scratch');
  }

  async #made(name: string): Promise<string> {
    const folder = path.join(this.#folder, name);
    await mkdir(folder, { recursive: true });
    return folder;
  }
}
