// Floating point operations of the stages, counted from the shapes of a plan's micro-batches: a product [m,k]·[k,n] has
// 2·m·k·n. Counted is what the method needs, each product once, padding included; not what an implementation computes a
// second time, nor embeddings, head, LayerNorm, softmax and activation. docs/performance.md has the same as a table.
import type { Plan } from '../../../dataset/plan.ts';

/** What a model multiplies: of a pruned one, what its layers have left. */
export interface FlopShape {
  /** D */
  readonly hiddenSize: number;
  /** d */
  readonly headSize: number;
  /** Heads of each layer. */
  readonly heads: readonly number[];
  /** Neurons of each layer. */
  readonly neurons: readonly number[];
  /** Which rows of the last layer reach the head: "first" in a sequence classifier. */
  readonly lastQueries: 'all' | 'first';
}

export interface BatchShape {
  /** b */
  readonly samples: number;
  /** Rows of its hidden states: b·n where samples are padded to n tokens, or all tokens. */
  readonly rows: number;
  /** b·n², or the sum of squared lengths. */
  readonly scores: number;
  /** Tokens of all samples without padding. */
  readonly positions: number;
}

export function batchShapes({ samples, shards }: Plan, isUnpadded = false): BatchShape[] {
  return shards
    .flatMap(({ batches }) => batches)
    .map(({ members, tokens }) => {
      const lengths = Array.from(members, (member) => samples[member].tokenIds.length);
      const sum = (values: readonly number[]) => values.reduce((all, value) => all + value, 0);
      const padded = isUnpadded ? lengths : lengths.map(() => tokens);
      return {
        samples: members.length,
        rows: sum(padded),
        scores: sum(padded.map((length) => length ** 2)),
        positions: sum(lengths),
      };
    });
}

/** A forward pass: what an `evaluate` task computes. */
export function forwardFlop(shape: FlopShape, batches: readonly BatchShape[]): number {
  return sumOver(batches, (batch) =>
    sumOverLayers(shape, (layer) => {
      const rows = queryRows(shape, layer, batch);
      return attentionFlop(shape, layer, batch, rows) + 2 * ffnProduct(shape, layer, rows);
    }),
  );
}

/** Forward pass and the gradients of all masks: what the `fisher` tasks compute. The gradient of a product needs one product
 * for its input; nobody asks for those of weights, or for that of layer 0's input. */
export function maskGradientFlop(shape: FlopShape, batches: readonly BatchShape[]): number {
  const backward = sumOver(batches, (batch) =>
    sumOverLayers(shape, (layer) => {
      const rows = queryRows(shape, layer, batch);
      const width = shape.heads[layer] * shape.headSize;
      const ffn = 2 * ffnProduct(shape, layer, rows);
      const context = 2 * rows * shape.hiddenSize * width;
      if (layer === 0) return ffn + context;
      // The values' gradient and the probabilities', the queries' and the keys'; then back through three projections.
      const scores = 4 * 2 * askedScores(batch, rows) * width;
      const projections = 2 * (rows + 2 * batch.rows) * shape.hiddenSize * width;
      return ffn + context + scores + projections;
    }),
  );
  return forwardFlop(shape, batches) + backward;
}

/** The sums of every sub-layer but layer 0's attention, in one pass of teacher and student through the model: hidden states of
 * both; in each FFN the activations and the output of the dense model's on the teacher's input (of which the teacher's own
 * activations are a part); and of each sub-layer's features X [P, F] at the P positions that count the upper triangle of
 * XᵀX, P·F·(F + 1), and XᵀR, 2·P·F·D. */
export function normalEquationsFlop(
  { dense, teacher, student }: { readonly dense: FlopShape; readonly teacher: FlopShape; readonly student: FlopShape },
  batches: readonly BatchShape[],
): number {
  const { hiddenSize } = dense;
  const last = dense.heads.length - 1;
  const sums = (positions: number, features: number) =>
    positions * features * (features + 1) + 2 * positions * features * hiddenSize;
  return sumOver(batches, (batch) =>
    sumOverLayers(dense, (layer) => {
      const all = batch.rows;
      const rows = queryRows(dense, layer, batch);
      const positions = rows < all ? rows : batch.positions;
      const attention = attentionFlop(teacher, layer, batch, all) + attentionFlop(student, layer, batch, all);
      const ffn = 2 * ffnProduct(dense, layer, rows) + ffnProduct(student, layer, rows);
      const next = layer === last ? 0 : ffnProduct(teacher, layer, all) + ffnProduct(student, layer, all);
      const attentionSums = layer === 0 ? 0 : sums(batch.positions, student.heads[layer] * student.headSize);
      return attention + ffn + next + attentionSums + sums(positions, student.neurons[layer]);
    }),
  );
}

/** The sums of every sub-layer in one pass of the student through the model, all but its last output: of each sub-layer's
 * features X with a column of ones the upper triangle of XᵀX, and XᵀR, as of normal equations. The dense model's outputs are not
 * counted: a job computes them once for all of its steps. */
export function refitFlop(student: FlopShape, batches: readonly BatchShape[]): number {
  const { hiddenSize, headSize, heads } = student;
  const sums = (positions: number, features: number) =>
    positions * (features + 1) * (features + 2) + 2 * positions * (features + 1) * hiddenSize;
  return sumOver(batches, (batch) =>
    sumOverLayers(student, (layer) => {
      const rows = queryRows(student, layer, batch);
      const positions = rows < batch.rows ? rows : batch.positions;
      const products = layer === heads.length - 1 ? 1 : 2;
      const pass = attentionFlop(student, layer, batch, rows) + products * ffnProduct(student, layer, rows);
      return pass + sums(positions, heads[layer] * headSize) + sums(positions, student.neurons[layer]);
    }),
  );
}

// Query, key and value, scores, contexts, output. @param rows that ask.
function attentionFlop(shape: FlopShape, layer: number, batch: BatchShape, rows: number): number {
  const width = shape.heads[layer] * shape.headSize;
  const projections = 2 * (2 * rows + 2 * batch.rows) * shape.hiddenSize * width;
  return projections + 2 * 2 * askedScores(batch, rows) * width;
}

/** Of all rows, or of each sample's first. */
function askedScores(batch: BatchShape, rows: number): number {
  return rows === batch.rows ? batch.scores : batch.rows;
}

/** One of the two products of an FFN. */
function ffnProduct(shape: FlopShape, layer: number, rows: number): number {
  return 2 * rows * shape.hiddenSize * shape.neurons[layer];
}

function queryRows({ heads, lastQueries }: FlopShape, layer: number, { samples, rows }: BatchShape): number {
  return layer === heads.length - 1 && lastQueries === 'first' ? samples : rows;
}

function sumOverLayers({ heads }: FlopShape, count: (layer: number) => number): number {
  return heads.reduce((sum, _, layer) => sum + count(layer), 0);
}

function sumOver<T>(items: readonly T[], count: (item: T) => number): number {
  return items.reduce((sum, item) => sum + count(item), 0);
}
