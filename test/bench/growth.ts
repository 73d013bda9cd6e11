// How the cost of a job grows with samples, tokens of a sample, layers and workers: whole jobs through coordinator, gRPC and
// local workers on synthetic models, each in a process of its own; and the coordinator alone with up to 64 simulated workers.
// docs/growth.md says what is to be seen.
//   npm run bench:growth [-- --axes samples,tokens,layers,workers,simulated --samples 256,512,…,16384 --tokens 16,…,256
//     --layers 2,4,8,12 --workers 1,2,3,4 --simulated 8,16,32,64 --hidden 64 --heads 4 --neurons 256 --repeats 1
//     --device cpu --json FILE --markdown FILE --charts FOLDER --check]
import { mkdir, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { machineName } from '../../worker/device.ts';
import { measureMemory } from '../integration/memory/measure.ts';
import { curvePoints, simulatedCase } from './growth/axes.ts';
import { drawCurves } from './growth/charts.ts';
import { type Curve, type CurvePoint, faultsOf, type GrowthFigures, medianPoint } from './growth/figures.ts';
import { measureJob } from './growth/measure-job.ts';
import { type GrowthSettings, parseGrowth } from './growth/settings.ts';
import { curveText, markdownOf } from './growth/table.ts';
import { runBench } from './run-bench.ts';

const say = (text: string) => process.stdout.write(`${text}\n`);

await runBench('growth', parseGrowth, bench);

async function bench(settings: GrowthSettings, folder: string): Promise<void> {
  const curves: Curve[] = [];
  const machine = machineName(settings.device);
  const figures = (): GrowthFigures => ({ schema: 1, machine, repeats: settings.repeats, curves });
  say(machine);
  for (const axis of settings.axes) {
    const points: CurvePoint[] = [];
    for (const job of curvePoints(axis, settings)) {
      const runs: CurvePoint[] = [];
      for (let repeat = 0; repeat < settings.repeats; repeat++)
        runs.push(
          axis === 'simulated'
            ? simulatedPoint(job.workers, await measureMemory(simulatedCase(job)))
            : await measureJob(axis, job, settings.device, folder),
        );
      points.push(medianPoint(runs));
    }
    curves.push({ axis, points });
    say(`\n${curveText(curves[curves.length - 1])}`);
    // After each curve: what was measured stays when the next one is cut off.
    if (settings.json !== null) await writeFile(settings.json, `${JSON.stringify(figures(), null, 2)}\n`);
    if (settings.markdown !== null) await writeFile(settings.markdown, markdownOf(figures()));
  }
  if (settings.charts !== null) {
    await mkdir(settings.charts, { recursive: true });
    for (const { name, svg } of drawCurves(curves)) await writeFile(path.join(settings.charts, name), svg);
  }
  if (!settings.check) return;
  const faults = curves.flatMap(faultsOf);
  for (const fault of faults) process.stderr.write(`too fast: ${fault}\n`);
  if (faults.length > 0) process.exitCode = 1;
  else say('\nchecked: nothing grows faster than linear in samples');
}

function simulatedPoint(
  workers: number,
  { seconds, cpuSeconds, peakRssBytes }: Awaited<ReturnType<typeof measureMemory>>,
): CurvePoint {
  return {
    x: workers,
    seconds: { all: seconds },
    cpuSeconds: { coordinator: cpuSeconds, workers: null },
    coordinatorPeakBytes: peakRssBytes,
    bytes: null,
  };
}
