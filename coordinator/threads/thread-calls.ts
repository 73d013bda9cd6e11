// What a coordinator of many jobs lets its threads compute: whatever may take longer than a fifth of a second, since a loop
// that stands still renews no lease and answers nobody. Everything in and out is plain data.

import type { OnnxWeightDType } from '../../checkpoint/onnx/onnx-model.ts';
import type { WrittenOnnx } from '../../checkpoint/onnx/write-onnx.ts';
import { openCheckpoint, type WeightDType } from '../../checkpoint/open-checkpoint.ts';
import { type PrunedLayout, writePrunedCheckpoint } from '../../checkpoint/write-pruned.ts';
import type { Scores } from '../../dataset/metrics.ts';
import type { DropBound } from '../../pruning/drop-bound.ts';
import type { Masks } from '../../pruning/masks.ts';
import type { CampaignProblem } from '../campaign/campaign-problem.ts';
import { type CheckRequest, checkInputs } from '../campaign/check-inputs.ts';
import { rearrangeFromFile } from '../job/fisher-file.ts';
import { writeModelOnnx } from '../job/write-model-onnx.ts';
import type { PruneRequest } from '../prune-settings.ts';
import { type DropCall, judgePackedDrop } from './judge-drop.ts';
import { type PreparedInputs, prepareInputs } from './prepare-inputs.ts';
import { type QuestionScores, scoreQuestionOutputs } from './score-questions.ts';

/** Calls by name: what goes in and what comes out. */
export interface ThreadCalls {
  readonly prepare: { readonly input: PruneRequest; readonly output: PreparedInputs };
  readonly rearrange: { readonly input: { fisher: string; masks: Masks }; readonly output: Masks };
  readonly write: {
    readonly input: { model: string; masks: Masks; dtype: WeightDType; directory: string; layout: PrunedLayout };
    readonly output: { readonly bytes: number };
  };
  readonly writeOnnx: {
    readonly input: { directory: string; dtype: OnnxWeightDType };
    readonly output: WrittenOnnx;
  };
  readonly check: { readonly input: CheckRequest; readonly output: CampaignProblem[] };
  readonly drop: { readonly input: DropCall; readonly output: DropBound };
  readonly score: { readonly input: QuestionScores; readonly output: Scores };
}

export type ThreadCallName = keyof ThreadCalls;

type Handlers = {
  readonly [Name in ThreadCallName]: (
    input: ThreadCalls[Name]['input'],
  ) => ThreadCalls[Name]['output'] | Promise<ThreadCalls[Name]['output']>;
};

export const THREAD_CALLS: Handlers = {
  prepare: prepareInputs,
  check: (request) => checkInputs(request, { signal: new AbortController().signal }),
  rearrange: ({ fisher, masks }) => rearrangeFromFile(fisher, masks),
  async write({ model, masks, dtype, directory, layout }) {
    const source = await openCheckpoint(model);
    try {
      const { bytes } = await writePrunedCheckpoint(source, masks, dtype, directory, layout);
      return { bytes };
    } finally {
      await source.close();
    }
  },
  writeOnnx: ({ directory, dtype }) => writeModelOnnx(directory, dtype),
  drop: judgePackedDrop,
  score: scoreQuestionOutputs,
};

/** One call on its way to a thread, and its answer. */
export interface ThreadRequest {
  readonly name: ThreadCallName;
  readonly input: unknown;
}

export type ThreadAnswer =
  | { readonly kind: 'done'; readonly output: unknown }
  | {
      readonly kind: 'failed';
      readonly code: string;
      readonly message: string;
      readonly action: string;
      readonly stack: string | undefined;
    };
