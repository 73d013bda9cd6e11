// What the published method finds where products of passes round their inputs to 10 stored bits, as TF32 does, or to 7, as bfloat16
// does, beside float32: masks, importance they lose, tuned scores. On the CPU, in this process; minutes a model and seed.
//   npm run bench:rounding -- --models FOLDER --data FOLDER [--only mini-sst2,mini-mnli,mini-squad --seeds 0,1
//     --budgets 0.5,0.3 --samples 256 --rows 400 --json FILE]
import { writeFile } from 'node:fs/promises';
import path from 'node:path';
import { BlobStore } from '../../shared/blobs/blob-store.ts';
import { Releases } from '../../shared/lifecycle.ts';
import { setEngineEnvironment } from '../../worker/engine-executor.ts';
import { BFLOAT16_BITS, TF32_BITS } from '../support/rounding-binding.ts';
import { cellOf, judged, type RoundingCell, type RoundingRun, roundingTable } from './rounding/figures.ts';
import { measureModel } from './rounding/measure-model.ts';
import { RoundingEngine } from './rounding/rounding-engine.ts';
import { parseRounding, type RoundingSettings } from './rounding/settings.ts';
import { runBench } from './run-bench.ts';

const BLOB_LIMIT_BYTES = 1e10;

const say = (text: string) => process.stdout.write(`${text}\n`);

await runBench('rounding', parseRounding, bench);

async function bench(settings: RoundingSettings, folder: string): Promise<void> {
  // As a worker of a CPU has them.
  setEngineEnvironment({ threads: 1, device: 'cpu' });
  const rounding = new RoundingEngine();
  const blobs = await BlobStore.open(path.join(folder, 'blobs'), { limitBytes: BLOB_LIMIT_BYTES });
  const cells: RoundingCell[] = [];
  for (const model of settings.only) {
    const runs: RoundingRun[] = [];
    for (const seed of settings.seeds) {
      const start = performance.now();
      const releases = new Releases();
      try {
        const widths = [TF32_BITS, BFLOAT16_BITS];
        runs.push(...(await measureModel(settings, { model, seed, widths }, { rounding, blobs, folder }, releases)));
      } finally {
        await releases.run();
      }
      say(`${model} seed ${seed}: ${((performance.now() - start) / 1000).toFixed(0)} s`);
    }
    const own = settings.budgets.map((budget) => cellOf(runs.filter((run) => run.budget === budget)));
    cells.push(...own);
    say(`\n${roundingTable(own)}`);
    // After each model: what was measured stays when the next one is cut off.
    if (settings.json !== null) await writeFile(settings.json, `${JSON.stringify(cells, null, 2)}\n`);
  }
  const { masks, quality } = judged(cells, { fewer: BFLOAT16_BITS, more: TF32_BITS });
  say(`${BFLOAT16_BITS} bits: masks move in ${named(masks)}; quality in ${named(quality)}`);
}

function named(cells: readonly string[]): string {
  return cells.length === 0 ? 'none' : cells.join(', ');
}
