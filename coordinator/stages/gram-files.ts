// Grams on their way from tasks to one sum: a file a node of the plan's tree, added from file to file in the tree's order.
// Few megabytes are in memory at a time; on the disk are the nodes that wait for their sibling. The files live from here
// to `close`, but for the sum.
import { rename } from 'node:fs/promises';
import { type MaskSizes, packedLength } from '../../pruning/fisher.ts';
import { TreeFold } from '../../pruning/fold-tree.ts';
import type { SubLayer } from '../../pruning/masks.ts';
import { EspalierError } from '../../shared/errors.ts';
import { elementCount } from '../../shared/tensor.ts';
import { TensorFile } from '../../shared/tensor-file.ts';
import { gramName, gramTensors } from '../job/fisher-file.ts';
import type { SinkTarget } from '../job/result-sink.ts';

const FLOAT64 = Float64Array.BYTES_PER_ELEMENT;
/** Elements that are added in one turn of the loop. */
const STEP = 2 ** 18;

export interface GramFilesOptions {
  /** The sum's; others are beside it, with longer names. */
  readonly path: string;
  readonly sizes: MaskSizes;
  readonly nodes: number;
  readonly signal: AbortSignal;
}

export class GramFiles {
  readonly #options: GramFilesOptions;
  readonly #fold: TreeFold<Promise<TensorFile>>;
  readonly #leaves = new Map<number, Promise<TensorFile>>();
  readonly #taken = new Set<number>();
  readonly #files = new Set<TensorFile>();
  /** One sum after the other. */
  #adding: Promise<unknown> = Promise.resolve();
  #whole: Promise<TensorFile> | null = null;
  #made = 0;
  #isClosed = false;

  constructor(options: GramFilesOptions) {
    this.#options = options;
    this.#fold = new TreeFold(0, options.nodes, (a, b) => {
      const sum = this.#adding.then(async () => this.#add(await a, await b));
      // Told by `finish`.
      sum.catch(() => {});
      this.#adding = sum;
      return sum;
    });
  }

  /** Where a node's result goes. Two tries of one task write the same bytes to the same file. */
  targets(node: number): Record<string, SinkTarget> {
    const { layers, heads, neurons } = this.#options.sizes;
    const target = (kind: SubLayer, size: number): SinkTarget => {
      const length = packedLength(size);
      return {
        dtype: 'F64',
        length: layers * length,
        write: async (bytes, at) => {
          const file = await this.#leaf(node);
          // A chunk may begin in one layer and end in the next.
          for (let done = 0; done < bytes.byteLength; ) {
            const place = at + done / FLOAT64;
            const offset = (place % length) * FLOAT64;
            const part = bytes.subarray(done, done + length * FLOAT64 - offset);
            await file.write(gramName(kind, Math.floor(place / length)), offset, part);
            done += part.byteLength;
          }
        },
      };
    };
    return { head_gram: target('attention', heads), neuron_gram: target('ffn', neurons) };
  }

  /** A node's result is complete. */
  take(node: number): void {
    const file = this.#leaf(node);
    this.#taken.add(node);
    this.#whole = this.#fold.take(node, file);
  }

  /** Waits until all is added, and puts the sum in its place. @throws EspalierError of what could not be added. */
  async finish(): Promise<void> {
    await this.#adding;
    if (this.#whole === null) throw new EspalierError('internal', 'grams: got a part of the nodes, expected all');
    const file = await this.#whole;
    await file.close();
    await rename(file.path, this.#options.path);
    this.#files.delete(file);
  }

  /** Removes what is left of the files. */
  async close(): Promise<void> {
    this.#isClosed = true;
    await this.#adding.catch(() => {});
    await Promise.all([...this.#leaves.values()].map((leaf) => leaf.catch(() => {})));
    for (const file of this.#files) await file.remove();
    this.#files.clear();
  }

  #leaf(node: number): Promise<TensorFile> {
    // A try that comes late, of a node that another has brought.
    if (this.#isClosed || this.#taken.has(node))
      return Promise.reject(new EspalierError('cancelled', `grams: node ${node} is there`));
    const file = this.#leaves.get(node) ?? this.#create();
    this.#leaves.set(node, file);
    return file;
  }

  async #create(): Promise<TensorFile> {
    const { path, sizes } = this.#options;
    this.#made += 1;
    const file = await TensorFile.create(`${path}.${this.#made}`, gramTensors(sizes));
    this.#files.add(file);
    return file;
  }

  /** Into a file of its own: a try that comes late may still write to what is added here. */
  async #add(a: TensorFile, b: TensorFile): Promise<TensorFile> {
    const { sizes, signal } = this.#options;
    const sum = await this.#create();
    const [left, right] = [new Float64Array(STEP), new Float64Array(STEP)];
    for (const { name, shape } of gramTensors(sizes)) {
      const length = elementCount(shape);
      for (let at = 0; at < length; at += STEP) {
        signal.throwIfAborted();
        const count = Math.min(STEP, length - at);
        const [leftBytes, rightBytes] = [left, right].map((part) => new Uint8Array(part.buffer, 0, count * FLOAT64));
        await a.readInto(name, at * FLOAT64, leftBytes);
        await b.readInto(name, at * FLOAT64, rightBytes);
        for (let i = 0; i < count; i++) left[i] += right[i];
        await sum.write(name, at * FLOAT64, leftBytes);
      }
    }
    for (const file of [a, b]) {
      this.#files.delete(file);
      await file.remove();
    }
    return sum;
  }
}
