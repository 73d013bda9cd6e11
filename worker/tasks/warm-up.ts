// What the first tasks on a GPU would otherwise wait for: CUDA and its libraries load each kernel, module and handle when it is
// first used, over a second in all for the tasks of a job. Here tasks run on a model that is made up, of BERT-base's width, with a
// cache and states of its own, of which nothing stays.
import { makePlan, type Plan } from '../../dataset/plan.ts';
import { denseMasks, type Masks } from '../../pruning/masks.ts';
import { DEFAULT_REFIT_SETTINGS } from '../../pruning/refit.ts';
import { DEFAULT_TUNING_SETTINGS } from '../../pruning/tuning.ts';
import { EspalierError } from '../../shared/errors.ts';
import { type MadeUpHead, madeUpModel, openMadeUpModel } from '../model/made-up-model.ts';
import { ModelCache } from '../model/model-cache.ts';
import { TuningStates } from '../tuning/tuning-states.ts';
import { runFisher } from './fisher.ts';
import { runGradients } from './gradients.ts';
import { runRefits } from './refits.ts';
import { runSolve } from './solve.ts';
import type { TaskContext } from './task-context.ts';
import type { WarmUpPart, WarmUpSizes } from './warm-up-parts.ts';

const VOCABULARY = 64;
const SHARDS = 2;
const STATE_BYTES = 2 ** 28;

/** Tokens; and the activation of one head with the loss of another, which TensorFlow compiles on a GPU. */
const OTHER_HEADS: readonly MadeUpHead[] = [
  { model_type: 'bert', architectures: ['BertForQuestionAnswering'] },
  {
    model_type: 'distilbert',
    architectures: ['DistilBertForSequenceClassification'],
    problem_type: 'multi_label_classification',
  },
];

/** Runs the tasks of one part. @throws EspalierError of the tasks, "cancelled" as `checkCancelled` says. */
export async function warmUp(own: TaskContext, part: WarmUpPart, sizes: WarmUpSizes): Promise<void> {
  const { ops, forward } = own;
  const checkCancelled = () => own.checkCancelled();
  const context: TaskContext = {
    ...own,
    checkCancelled,
    models: new ModelCache(ops, checkCancelled, openMadeUpModel),
    states: new TuningStates(forward, STATE_BYTES, checkCancelled),
  };
  try {
    await runPart(context, part, sizes);
  } finally {
    context.states.clear();
    context.models.clear();
  }
}

async function runPart(context: TaskContext, part: WarmUpPart, sizes: WarmUpSizes): Promise<void> {
  const { layers, heads, neurons, tokens } = sizes;
  const shape = { ...sizes, vocabulary: VOCABULARY, positions: tokens };
  const model = madeUpModel(shape);
  const plan = madeUpPlan(sizes, (sample) => [sample % 2]);
  const { fitShards, shards } = plan;
  const all = { model, plan, shards: { first: 0, end: shards.length } };
  const student = { masks: halfMasks(layers, heads, neurons), patches: [] };
  const sources = {
    planDigest: part,
    fit: { kind: 'shards', shards: { first: 0, end: fitShards } },
    heldOut: { kind: 'shards', shards: { first: fitShards, end: shards.length } },
  } as const;
  switch (part) {
    case 'fisher':
      await runFisher(context, { ...all, gram: false });
      return;
    case 'heads': {
      // A start and an end, or one of two labels.
      const plan = madeUpPlan(sizes, () => [0, 1]);
      for (const head of OTHER_HEADS)
        await runFisher(context, { ...all, model: madeUpModel(shape, head), plan, gram: false });
      return;
    }
    case 'tuning': {
      const pair = { teacher: denseMasks(layers, heads, neurons), student: student.masks };
      const settings = DEFAULT_TUNING_SETTINGS;
      for (let layer = 0; layer < layers; layer++)
        for (const subLayer of ['attention', 'ffn'] as const)
          await runSolve(context, { ...all, ...pair, ...sources, layer, subLayer, settings });
      return;
    }
    case 'gradients':
      await runGradients(context, { ...all, student });
      return;
    case 'refits': {
      const settings = DEFAULT_REFIT_SETTINGS;
      const [first, ...next] = (['attention', 'ffn'] as const).flatMap((subLayer) =>
        (['input', 'output'] as const).map((part) => ({ layer: 0, subLayer, part, mean: 0 })),
      );
      await runRefits(context, { ...all, ...sources, student, ...first, weights: null, settings }, next, () => {});
      return;
    }
    default:
      throw new EspalierError('internal', `warm-up: got part "${part satisfies never}"`);
  }
}

// Samples of all lengths up to the longest.
function madeUpPlan({ samples, tokens, tokensPerBatch }: WarmUpSizes, target: (sample: number) => number[]): Plan {
  const drawn = Array.from({ length: samples }, (_, sample) => {
    const length = 2 + Math.floor(((sample % (samples / SHARDS)) * (tokens - 2)) / (samples / SHARDS - 1));
    return {
      tokenIds: Int32Array.from({ length }, (_, token) => (7 * sample + 3 * token) % VOCABULARY),
      typeIds: new Uint8Array(length),
      target: Float32Array.from(target(sample)),
    };
  });
  const groupSize = samples / SHARDS / 2;
  return makePlan(drawn, {
    groupSize,
    tokensPerBatch,
    tokensPerShard: tokens * samples,
    leastShards: SHARDS,
    heldOut: 0.5,
  });
}

// Every other variable.
function halfMasks(layers: number, heads: number, neurons: number): Masks {
  const masks = denseMasks(layers, heads, neurons);
  const half = (mask: Uint8Array) => mask.map((_, index) => 1 - (index % 2));
  return { ...masks, headMask: half(masks.headMask), neuronMask: half(masks.neuronMask) };
}
