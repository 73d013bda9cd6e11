// Jobs that do not measure the speed of what they have written, on any worker: pruning alone counts.
import { USUAL_TIMING } from '../../../coordinator/job/timing-settings.ts';
import type { TimingSettings } from '../../../coordinator/prune-settings.ts';

export const NOT_TIMED: TimingSettings = { ...USUAL_TIMING, batchSizes: [] };
