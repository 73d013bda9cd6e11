// Stage "gradients": what a gradual step is decided by, at the student that it starts from. Of all calibration samples the sums
// of squared mask gradients, and of every token how much the loss depends on each sub-layer's output there. The sums are
// stored; the token gradients stay in the scratch folder, a blob a node of the plan's tree, and whoever goes on without them
// computes them again.
import type { Plan } from '../../../dataset/plan.ts';
import { type Importance, MOST_TASK_GRADIENTS } from '../../../pruning/fisher.ts';
import { cutTree, foldTree, type ShardSpan, TreeFold } from '../../../pruning/fold-tree.ts';
import type { BlobSource } from '../../../shared/blobs/blob-source.ts';
import { EspalierError } from '../../../shared/errors.ts';
import type { TensorSink } from '../../../shared/rpc/tensor-stream.ts';
import type { NamedTensor } from '../../../shared/tensor.ts';
import { type JobContext, storedStage, TASK_DEADLINE_MS } from '../../job/job-context.ts';
import { blobRef } from '../../job/model-blobs.ts';
import { resultSink, type SinkTarget } from '../../job/result-sink.ts';
import { scratchBlob } from '../../job/scratch-blob.ts';
import { type Student, studentBlobs, studentSet } from '../../job/student.ts';
import type { StoredTensors } from '../../store/stage-store.ts';
import type { TaskSpec } from '../../workers/task-spec.ts';
import { taskSpans } from '../task-spans.ts';
import { type CountedPositions, countedPositions, tokensOf } from './counted-positions.ts';

/** Tasks of the fitted shards, and of those that judge, at the most: a refit names the blobs of all, and a worker takes 1,024. A
 * shard each where there are no more. Part of what makes results equal, like the plan. */
const MOST_NODES = { fitted: 384, judging: 128 };

/** Token gradients of neighbouring shards: a safetensors blob with "token_gradients" alone (worker.proto). */
export interface TokenGradientBlob {
  readonly shards: ShardSpan;
  readonly source: BlobSource;
}

/** Sums over the calibration samples at one student. */
export interface GradientSums {
  readonly importance: Importance;
  /** [2 * layers], attention of a layer before its FFN: mean squared token gradient over the positions that count for the
   * sub-layer. Those are all tokens; in the last layer of a sequence classifier the first of each sample. */
  readonly means: Float64Array;
}

export interface StudentGradients extends GradientSums {
  readonly seconds: number;
  /** Blobs of all shards, in their order; computed again where they were not kept. */
  tokens(): Promise<readonly TokenGradientBlob[]>;
}

/** Gradients of a student, from the state or computed. @param name of the stored stage. @param step what events call it.
 * @param after see `storedStage`. @throws EspalierError "not_finite", "protocol" for what is no sum of squares. */
export async function storedGradients(
  context: JobContext,
  student: Student,
  { name, step, after }: { readonly name: string; readonly step?: string; readonly after?: Promise<unknown> },
): Promise<StudentGradients> {
  const { home, calibration } = context;
  let tokens: Promise<readonly TokenGradientBlob[]> | null = null;
  const stage = { name, ...(step !== undefined && { budget: step }), steps: calibration.plan.shards.length };
  const run = async (progress: (done: number) => void): Promise<GradientSums> => {
    const { tokens: blobs, ...sums } = await runGradients(context, student, progress);
    tokens = blobs;
    return sums;
  };
  const found = storedStage<GradientSums>(context, 'gradients', {
    ...stage,
    ...(after && { after }),
    async read() {
      const stored = await home.readTensors(name);
      return stored && { value: sumsFromTensors(stored), seconds: Number(stored.meta.seconds) };
    },
    run,
    async write(sums, took) {
      await tokens;
      await home.writeTensors(name, sumsToTensors(sums), { seconds: took });
    },
  });
  const { value, seconds } = await found.catch(async (caught) => {
    // They are not written any more when this throws.
    await tokens?.catch(() => {});
    throw caught;
  });
  return {
    ...value,
    seconds,
    async tokens() {
      if (tokens === null)
        await storedStage<GradientSums>(context, 'gradients', {
          ...stage,
          read: async () => null,
          run,
          async write() {
            await tokens;
          },
        });
      return tokens!;
    },
  };
}

/** One node of the plan's tree. */
interface NodeSums {
  readonly heads: Float64Array;
  readonly neurons: Float64Array;
  /** [2 * layers], over the positions that count. */
  readonly tokens: Float64Array;
}

/** A node's result as it came. */
interface NodeResult {
  readonly heads: Float64Array;
  readonly neurons: Float64Array;
  /** [2 * layers, positions] */
  readonly tokens: Float32Array;
}

/** Computes the gradients. @param progress told of the shards that are done.
 * @returns the sums, and what resolves when the blobs are written: whoever gets it waits for it. Throws when none is being written. */
export async function runGradients(
  context: JobContext,
  student: Student,
  progress: (done: number) => void,
): Promise<GradientSums & { readonly tokens: Promise<readonly TokenGradientBlob[]> }> {
  const { calibration, model, workers, signal, checkpoint } = context;
  const { plan } = calibration;
  const { layers } = checkpoint.config;
  const nodes = gradientNodes(plan);
  const fittedNodes = nodes.filter(({ first }) => first < plan.fitShards).length;
  const folds = [[0, fittedNodes] as const, [fittedNodes, nodes.length] as const]
    .filter(([first, end]) => end > first)
    .map(([first, end]) => ({ end, fold: new TreeFold<NodeSums>(first, end, addTo), sum: null as NodeSums | null }));
  const ranges = folds.flatMap(({ end }, at) => taskNodes(context, { first: folds[at - 1]?.end ?? 0, end }, nodes));
  const landed = new Map<number, NodeResult>();
  const taken = new Set<number>();
  const writing: Promise<BlobSource>[] = [];
  const tasks = ranges.map((range, index): TaskSpec => {
    const shards = shardsOfNodes(nodes, range);
    return {
      id: gradientsId(shards),
      blobs: [...model.blobs, calibration.blob, ...studentBlobs(student)],
      request: {
        gradients: { model: model.ref, plan: blobRef(calibration.blob), shards, student: studentSet(student) },
      },
      deadlineMs: TASK_DEADLINE_MS,
      sink: () =>
        nodeSink(context, shards, (result) => {
          if (!taken.has(index)) landed.set(index, result);
        }),
    };
  });
  const indices = new Map(tasks.map(({ id }, index) => [id, index]));
  let done = 0;
  const onDone = ({ id }: TaskSpec) => {
    const index = indices.get(id)!;
    const result = landed.get(index)!;
    landed.delete(index);
    taken.add(index);
    checkSquares(id, result);
    const { first, end } = ranges[index];
    const tokens = tokensByNode(result.tokens, nodes.slice(first, end), context);
    tokens.forEach((own, i) => {
      const blob = scratchBlob(context, [tokenTensor(own, layers)]);
      // Told when all are waited for.
      blob.catch(() => {});
      writing[first + i] = blob;
    });
    const tokenSums = foldTree(
      first,
      end,
      (node) => tokenSumsOf(tokens[node - first], countedPositions(context, nodes[node])),
      addInto,
    );
    const part = folds.find((own) => end <= own.end)!;
    const { heads, neurons } = result;
    part.sum = part.fold.take(first, { heads, neurons, tokens: tokenSums }, end);
    const shards = shardsOfNodes(nodes, ranges[index]);
    done += shards.end - shards.first;
    progress(done);
  };
  try {
    await workers.runTasks(tasks, { signal, onDone });
    const { heads, neurons, tokens } = folds.map(({ sum }) => sum!).reduce(addTo);
    for (const [what, values] of Object.entries({ heads, neurons, tokens })) requireFinite(what, values);
    const positions = countedPositions(context, { first: 0, end: plan.shards.length });
    return {
      importance: { heads, neurons },
      means: tokens.map((sum, subLayer) => sum / positions.of(subLayer)),
      tokens: writtenBlobs(nodes, writing),
    };
  } catch (caught) {
    await Promise.allSettled(writing);
    throw caught;
  }
}

function writtenBlobs(
  nodes: readonly ShardSpan[],
  writing: readonly Promise<BlobSource>[],
): Promise<readonly TokenGradientBlob[]> {
  const written = Promise.allSettled(writing).then(async () => {
    const sources = await Promise.all(writing);
    return nodes.map((shards, index) => ({ shards, source: sources[index] }));
  });
  // Told by whoever waits for them.
  written.catch(() => {});
  return written;
}

/** A shard each, or nodes of the tree over the fitted shards and of that over those that judge. */
function gradientNodes({ shards, fitShards }: Pick<Plan, 'shards' | 'fitShards'>): ShardSpan[] {
  const judging = fitShards < shards.length ? cutTree(fitShards, shards.length, MOST_NODES.judging) : [];
  return [...cutTree(0, fitShards, MOST_NODES.fitted), ...judging];
}

/** Numbers of each task's nodes: of one, or of a few that are a shard each. @param range those of one tree. */
function taskNodes(
  { calibration, checkpoint, workers }: Pick<JobContext, 'calibration' | 'checkpoint' | 'workers'>,
  range: ShardSpan,
  nodes: readonly ShardSpan[],
): ShardSpan[] {
  return taskSpans(range, workers, (some) => {
    const shards = shardsOfNodes(nodes, some);
    const gradients = 2 * checkpoint.config.layers * tokensOf(calibration.plan, shards);
    return shards.end - shards.first === some.end - some.first && gradients <= MOST_TASK_GRADIENTS;
  });
}

function shardsOfNodes(nodes: readonly ShardSpan[], { first, end }: ShardSpan): ShardSpan {
  return { first: nodes[first].first, end: nodes[end - 1].end };
}

/** Columns of each node. @param tokens [sub-layers, positions of the nodes] */
function tokensByNode(
  tokens: Float32Array,
  nodes: readonly ShardSpan[],
  { calibration }: Pick<JobContext, 'calibration'>,
): Float32Array[] {
  if (nodes.length === 1) return [tokens];
  const widths = nodes.map((node) => tokensOf(calibration.plan, node));
  const width = widths.reduce((sum, own) => sum + own, 0);
  let from = 0;
  return widths.map((own) => {
    const columns = new Float32Array((tokens.length / width) * own);
    for (let row = 0; row * width < tokens.length; row++) {
      const begin = row * width + from;
      columns.set(tokens.subarray(begin, begin + own), row * own);
    }
    from += own;
    return columns;
  });
}

function gradientsId({ first, end }: ShardSpan): string {
  return end - first === 1 ? `gradients/${first}` : `gradients/${first}-${end}`;
}

/** Takes one try of a node. Each has arrays of its own: one that comes late must not write into what is added up. */
function nodeSink(context: JobContext, shards: ShardSpan, onWhole: (result: NodeResult) => void): TensorSink {
  const { layers, heads, intermediateSize } = context.checkpoint.config;
  const { plan } = context.calibration;
  const samples = plan.shards[shards.end - 1].endSample - plan.shards[shards.first].firstSample;
  const result: NodeResult = {
    heads: new Float64Array(layers * heads),
    neurons: new Float64Array(layers * intermediateSize),
    tokens: new Float32Array(2 * layers * tokensOf(plan, shards)),
  };
  const into = (dtype: SinkTarget['dtype'], target: Float32Array | Float64Array): SinkTarget => ({
    dtype,
    length: target.length,
    async write(bytes, at) {
      new Uint8Array(target.buffer).set(bytes, at * target.BYTES_PER_ELEMENT);
    },
  });
  const sink = resultSink(gradientsId(shards), {
    // Checked and not kept.
    losses: { dtype: 'F32', length: samples, write: async () => {} },
    head_importance: into('F64', result.heads),
    neuron_importance: into('F64', result.neurons),
    token_gradients: into('F32', result.tokens),
  });
  return {
    open: (tensor) => sink.open(tensor),
    end() {
      sink.end();
      onWhole(result);
    },
  };
}

/** @throws EspalierError "protocol": what is below 0 is no square, and a weight from it would be none. */
function checkSquares(task: string, result: NodeResult): void {
  for (const [name, values] of Object.entries(result) as [string, Float64Array | Float32Array][])
    for (let at = 0; at < values.length; at++)
      if (values[at] < 0)
        throw new EspalierError('protocol', `${task}: ${name} ${at}: got ${values[at]}, expected a sum of squares`);
}

function requireFinite(what: string, values: Float64Array): void {
  const at = values.findIndex((value) => !Number.isFinite(value));
  if (at >= 0)
    throw new EspalierError('not_finite', `gradients of ${what} ${at}: got ${values[at]}, expected a finite number`);
}

/** Sum over the positions that count, of each sub-layer. @param tokens [sub-layers, positions] */
function tokenSumsOf(tokens: Float32Array, counted: CountedPositions): Float64Array {
  const sums = new Float64Array(tokens.length / Math.max(1, counted.tokens));
  for (let subLayer = 0; subLayer < sums.length; subLayer++) {
    const row = subLayer * counted.tokens;
    sums[subLayer] = counted.sum(subLayer, tokens.subarray(row, row + counted.tokens));
  }
  return sums;
}

/** a + b, into the arrays of `a`. */
function addTo(a: NodeSums, b: NodeSums): NodeSums {
  for (const what of ['heads', 'neurons', 'tokens'] as const) addInto(a[what], b[what]);
  return a;
}

/** a + b, in `a`. */
function addInto(a: Float64Array, b: Float64Array): Float64Array {
  for (let at = 0; at < a.length; at++) a[at] += b[at];
  return a;
}

function tokenTensor(data: Float32Array, layers: number): NamedTensor {
  return { name: 'token_gradients', dtype: 'F32', shape: [2 * layers, data.length / (2 * layers)], data };
}

function sumsToTensors({ importance, means }: GradientSums): NamedTensor[] {
  const f64 = (name: string, data: Float64Array): NamedTensor => ({ name, dtype: 'F64', shape: [data.length], data });
  return [
    f64('head_importance', importance.heads),
    f64('neuron_importance', importance.neurons),
    f64('token_means', means),
  ];
}

function sumsFromTensors({ tensors }: StoredTensors): GradientSums {
  const read = (name: string) => tensors.get(name)!.data as Float64Array;
  return {
    importance: { heads: read('head_importance'), neurons: read('neuron_importance') },
    means: read('token_means'),
  };
}
