// The published method on one model and draw, with gradients and tuning's passes in float32 and rounded: a job's stages on an
// executor of this process.
import path from 'node:path';
import { fisherImportance, rearrangeFromFile } from '../../../coordinator/job/fisher-file.ts';
import type { JobContext } from '../../../coordinator/job/job-context.ts';
import { localWeights, modelBlobs } from '../../../coordinator/job/model-blobs.ts';
import { openData } from '../../../coordinator/job/open-inputs.ts';
import { openPruneInputs } from '../../../coordinator/job/prune-inputs.ts';
import { maskedStudent } from '../../../coordinator/job/student.ts';
import { measureQuality } from '../../../coordinator/stages/evaluate.ts';
import { macsSearch } from '../../../coordinator/stages/find-masks.ts';
import { runFisher } from '../../../coordinator/stages/fisher.ts';
import { planSamples, tokensPerBatch } from '../../../coordinator/stages/plan.ts';
import { runTune } from '../../../coordinator/stages/tune.ts';
import { loadTextTokenizer } from '../../../dataset/text-tokenizer.ts';
import type { Importance } from '../../../pruning/fisher.ts';
import type { Masks } from '../../../pruning/masks.ts';
import { DEFAULT_TUNING_SETTINGS } from '../../../pruning/tuning.ts';
import type { BlobStore } from '../../../shared/blobs/blob-store.ts';
import type { Releases } from '../../../shared/lifecycle.ts';
import { workersHere } from '../../support/workers-here.ts';
import { benchSettings } from '../bench-settings.ts';
import { executorHere } from '../gpu/executor-here.ts';
import type { RoundingRun, StoredBits } from './figures.ts';
import type { RoundingEngine } from './rounding-engine.ts';
import type { RoundingSettings } from './settings.ts';

const MEMORY_BYTES = 4e9;

/** @param widths besides float32. @returns a run a budget and rounding. */
export async function measureModel(
  settings: RoundingSettings,
  { model, seed, widths }: { readonly model: string; readonly seed: number; readonly widths: readonly number[] },
  {
    rounding,
    blobs,
    folder,
  }: { readonly rounding: RoundingEngine; readonly blobs: BlobStore; readonly folder: string },
  releases: Releases,
): Promise<RoundingRun[]> {
  const { budgets, samples, rows } = settings;
  const data = path.join(settings.data, model.split('-')[1]);
  const job = {
    ...benchSettings({
      model: path.join(settings.models, model),
      data: path.join(data, 'train.jsonl'),
      out: folder,
      ...{ samples, workers: '1', device: 'cpu' },
    }),
    seed,
  };
  const inputs = await openPruneInputs(job, releases, () => {});
  const { checkpoint } = inputs.model;
  const { config } = checkpoint;
  const { layers, heads, intermediateSize: neurons } = config;
  const tokenizer = await loadTextTokenizer(job.model, config);
  const dataset = await openData(path.join(data, 'dev.jsonl'), { ...inputs.model, tokenizer }, job, true);
  const encoded = dataset.encode(Int32Array.from({ length: Math.min(rows, dataset.rows) }, (_, row) => row));

  const executor = executorHere(rounding.engine, rounding.kernels, blobs, MEMORY_BYTES);
  releases.add(() => executor.close());
  const { signal } = new AbortController();
  const { deviceClass } = executor.describe();
  const workers = workersHere(
    async (request, spec) => {
      for (const { digest, sizeBytes, open } of spec.blobs)
        if (!(await blobs.has(digest))) await blobs.put(digest, sizeBytes, open());
      return executor.run(request, signal);
    },
    1,
    deviceClass,
  );
  const limit = tokensPerBatch(deviceClass, config, 'gradients', [...inputs.drawn.samples, ...encoded.samples]);
  const plan = { config, device: deviceClass, tokensPerBatch: limit };
  const calibration = planSamples(inputs.drawn.samples, { ...plan, groupSize: inputs.groupSize, heldOut: true });
  const evaluation = {
    dataset,
    encoded,
    metric: null,
    ...planSamples(encoded.samples, { ...plan, groupSize: 1, heldOut: false }),
  };
  const named = await modelBlobs(checkpoint, localWeights(blobs));
  // What these stages read of a job.
  const context = { workers, model: named, checkpoint, calibration, evaluation, signal } as unknown as JobContext;
  const search = macsSearch(config, inputs.costs, job);

  const tunedScore = async (bits: StoredBits, teacher: Masks, student: Masks) => {
    // Frees hidden states: they are known by masks, whatever they were rounded to.
    await executor.close();
    const input = { teacher, student, settings: DEFAULT_TUNING_SETTINGS, resumed: null };
    const tuned = await rounding.withBits(bits, () => runTune(context, input, { store: async () => {} }));
    const { primary, values } = await measureQuality(context, named, maskedStudent(tuned.masks), evaluation);
    return 100 * values[primary];
  };
  const runs: RoundingRun[] = [];
  let exact: Importance | null = null;
  for (const bits of [null, ...widths]) {
    const file = path.join(folder, `fisher-${model}-${seed}-${bits ?? 'float32'}.safetensors`);
    await rounding.withBits(bits, () => runFisher(context, file, () => {}));
    const importance = await fisherImportance(file, { layers, heads, neurons });
    exact ??= importance;
    for (const budget of budgets) {
      const searched = search(budget, importance);
      const rearranged = await rearrangeFromFile(file, searched);
      const teacher = search(Math.sqrt(budget), importance);
      const gradients = await tunedScore(null, teacher, rearranged);
      const tuning = bits === null ? gradients : await tunedScore(bits, teacher, rearranged);
      runs.push({ model, budget, seed, bits, searched, rearranged, importance: exact, scores: { gradients, tuning } });
    }
  }
  return runs;
}
