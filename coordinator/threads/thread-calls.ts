// What a coordinator of many jobs lets its threads compute: whatever may take longer than a fifth of a second, since a loop
// that stands still renews no lease and answers nobody. Everything in and out is plain data.

import type { OnnxWeightDType } from '../../checkpoint/onnx/onnx-model.ts';
import type { WrittenOnnx } from '../../checkpoint/onnx/write-onnx.ts';
import type { Scores } from '../../dataset/metrics.ts';
import type { DropBound } from '../../pruning/drop-bound.ts';
import type { Masks } from '../../pruning/masks.ts';
import type { LayerMasks } from '../../pruning/rearrange.ts';
import type { OpenVariables } from '../../pruning/search-remaining.ts';
import type { CampaignProblem } from '../campaign/campaign-problem.ts';
import type { CheckRequest } from '../campaign/check-inputs.ts';
import type { LayerOfFile } from '../job/fisher-file.ts';
import type { DropCall } from './judge-drop.ts';
import type { PreparedInputs, PrepareRequest } from './prepare-inputs.ts';
import type { QuestionScores } from './score-questions.ts';
import type { WriteCall, WrittenWeights } from './write-model.ts';

/** Calls by name: what goes in and what comes out. */
export interface ThreadCalls {
  readonly prepare: { readonly input: PrepareRequest; readonly output: PreparedInputs };
  readonly rearrange: {
    readonly input: { fisher: string; masks: Masks; open?: OpenVariables };
    readonly output: Masks;
  };
  readonly rearrangeLayer: { readonly input: LayerOfFile; readonly output: LayerMasks };
  readonly compileRearrange: { readonly input: null; readonly output: null };
  readonly write: { readonly input: WriteCall; readonly output: WrittenWeights };
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

/** Each loads what it computes with: a thread of one kind of call is ready soon. */
export const THREAD_CALLS: Handlers = {
  async prepare(request) {
    const { prepareInputs } = await import('./prepare-inputs.ts');
    return prepareInputs(request);
  },
  async check(request) {
    const { checkInputs } = await import('../campaign/check-inputs.ts');
    return checkInputs(request, { signal: new AbortController().signal });
  },
  async rearrange({ fisher, masks, open }) {
    const { rearrangeFromFile } = await import('../job/fisher-file.ts');
    return rearrangeFromFile(fisher, masks, open);
  },
  async rearrangeLayer(layer) {
    const { rearrangeLayerFromFile } = await import('../job/fisher-file.ts');
    return rearrangeLayerFromFile(layer);
  },
  async compileRearrange() {
    const { compileRearrange } = await import('./compile-rearrange.ts');
    // What the first layer would otherwise wait for.
    await import('../job/fisher-file.ts');
    compileRearrange();
    return null;
  },
  async write(input) {
    const { writeModel } = await import('./write-model.ts');
    return writeModel(input);
  },
  async writeOnnx({ directory, dtype }) {
    const { writeModelOnnx } = await import('../job/write-model-onnx.ts');
    return writeModelOnnx(directory, dtype);
  },
  async drop(input) {
    const { judgePackedDrop } = await import('./judge-drop.ts');
    return judgePackedDrop(input);
  },
  async score(input) {
    const { scoreQuestionOutputs } = await import('./score-questions.ts');
    return scoreQuestionOutputs(input);
  },
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
