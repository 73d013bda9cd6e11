// The life of an evaluate job: the outputs of one checkpoint, dense or pruned, on all workers, and their scores.
import path from 'node:path';
import { Releases } from '../shared/lifecycle.ts';
import { espalierVersion } from '../shared/rpc/version.ts';
import type { EvaluateReport, EvaluateSettings } from './evaluate-settings.ts';
import { openBlobCache } from './job/blob-cache.ts';
import { withFittingBatches } from './job/fitting-batches.ts';
import type { RunContext } from './job/job-context.ts';
import { localWeights, modelBlobs, modelFiles } from './job/model-blobs.ts';
import { openEvaluation, openModel } from './job/open-inputs.ts';
import { measureQuality } from './stages/evaluate.ts';
import { planSamples, tokensPerBatch } from './stages/plan.ts';
import { ForkedWorkers } from './workers/forked-workers.ts';
import { openWorkers } from './workers/workers.ts';

/** Measures a checkpoint's quality. @throws EspalierError for anything wrong with model, data or workers. */
export async function runEvaluateJob(
  settings: EvaluateSettings,
  { signal, onEvent }: RunContext,
): Promise<EvaluateReport> {
  const releases = new Releases();
  const start = performance.now();
  try {
    onEvent({ kind: 'stage-started', stage: 'load', steps: 1 });
    const blobs = await openBlobCache();
    const forked = new ForkedWorkers({ settings: settings.workers, blobDir: blobs.folder, signal });
    releases.add(() => forked.close({ graceMs: 0 }));
    const model = await openModel(settings.model, releases);
    const { config } = model.checkpoint;
    // While samples are read.
    forked.load(await modelFiles(model.checkpoint));
    const evaluation = await openEvaluation(settings.data, model, settings);
    const { truncated, samples } = evaluation.encoded;
    if (truncated > 0)
      onEvent({
        kind: 'notice',
        text: `${settings.data}: ${truncated} of ${samples.length} samples were too long and were cut`,
      });
    const workers = await openWorkers({ settings: settings.workers, blobDir: blobs.folder, forked, onEvent, signal });
    releases.add(() => workers.close());
    onEvent({ kind: 'stage-finished', stage: 'load', seconds: (performance.now() - start) / 1000, reused: false });

    const environment = { workers, signal, emit: onEvent };
    const device = workers.deviceClass;
    const named = await modelBlobs(model.checkpoint, localWeights(blobs.store));
    const scores = await withFittingBatches(
      tokensPerBatch(device, config, 'forward', samples),
      onEvent,
      async (limit) => {
        const planned = planSamples(samples, {
          config,
          device,
          groupSize: 1,
          tokensPerBatch: limit,
          heldOut: false,
          forScores: true,
        });
        const steps = planned.plan.shards.length;
        onEvent({ kind: 'stage-started', stage: 'evaluate', steps });
        const began = performance.now();
        const found = await measureQuality(environment, named, null, { ...evaluation, ...planned }, (done) =>
          onEvent({ kind: 'stage-progress', stage: 'evaluate', done, steps }),
        );
        const seconds = (performance.now() - began) / 1000;
        onEvent({ kind: 'stage-finished', stage: 'evaluate', seconds, reused: false });
        return found;
      },
    );
    return {
      espalier: espalierVersion(),
      model: { name: path.basename(path.resolve(settings.model)), digest: model.digest.digest, type: config.modelType },
      data: { digest: evaluation.dataset.digest, rows: evaluation.dataset.rows, truncated },
      task: config.task,
      metric: scores.primary,
      scores: scores.values,
      samples: samples.length,
      seconds: (performance.now() - start) / 1000,
    };
  } finally {
    await releases.run();
  }
}
