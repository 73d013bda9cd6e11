// Measures pruning on one device, stage by stage and as a whole job, on a model of BERT-base's shape with random weights and
// two workloads; docs/performance.md says what is measured and counted.
//   npm run bench:gpu [-- --device auto|cpu|gpu --workloads mnli-like,squad-like --repeats 5 --samples 2048
//     --stages fisher,tune,normal-equations,solve,evaluate,gradients,refit,job,gradual-job,next-job,next-gradual-job
//     --layers 12 --hidden 768 --heads 12 --neurons 3072 --gpu-memory 16GB --profile --json FILE --baseline FILE]
import { readFile, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { projectRoot } from '../../shared/project-root.ts';
import { parseWorkerConfig } from '../../worker/config.ts';
import { machineName } from '../../worker/device.ts';
import { readBaseline, requireComparable } from './gpu/baseline.ts';
import { runChild } from './gpu/child.ts';
import { JOB_STAGES, type RunFigures, type StageProfile, type WorkloadFigures } from './gpu/figures.ts';
import { kernelFigures, openTracer } from './gpu/kernel-trace.ts';
import type { LimitsFound, LimitsStart } from './gpu/measure-limits.ts';
import type { StageProfiled } from './gpu/profile-stages.ts';
import { runJobs } from './gpu/run-job.ts';
import type { StagesFound, StagesStart } from './gpu/run-stages.ts';
import { type GpuBenchSettings, parseGpuBench } from './gpu/settings.ts';
import { machineText, profileText, stagesText, workloadText } from './gpu/table.ts';
import { workloadDefinition, writeWorkload } from './gpu/workloads.ts';
import { runBench } from './run-bench.ts';

const say = (text: string) => process.stdout.write(`${text}\n`);

await runBench('gpu', parseGpuBench, bench);

async function bench(settings: GpuBenchSettings, folder: string): Promise<void> {
  const { device, sizes, samples, repeats, stages } = settings;
  // Every process that is started from here reads it as a worker does.
  if (settings.gpuMemory !== null) process.env.ESPALIER_GPU_MEMORY = settings.gpuMemory;
  const definitions = settings.workloads.map((name) => workloadDefinition(name, sizes, samples));
  const baseline = settings.baseline === null ? null : await readBaseline(settings.baseline);
  const { kind, limits } = await runChild<LimitsStart, LimitsFound>('measure-limits.js', {
    device,
    threads: threads(),
  });
  const machine = machineName(kind);
  if (baseline !== null) requireComparable({ machine, deviceKind: kind, workloads: definitions }, baseline);

  const versions = { espalier: await ownVersion(), node: process.version };
  const workloads: WorkloadFigures[] = [];
  let run: RunFigures | null = null;
  for (const definition of definitions) {
    const files = await writeWorkload(folder, definition);
    const start: StagesStart = { files, folder, stages, repeats, device };
    const { deviceClass, plan, figures } = await runChild<StagesStart, StagesFound>('run-stages.js', start);
    if (run === null) say(machineText({ schema: 1, machine, deviceClass, versions, repeats, limits }));
    let workload: WorkloadFigures = figures;
    // What was measured is told and kept before the next part, which may be cut off.
    const keep = async (found: Partial<WorkloadFigures>, text: string) => {
      workload = { ...workload, ...found };
      say(text);
      run = { schema: 1, machine, deviceClass, versions, repeats, limits, workloads: [...workloads, workload] };
      if (settings.json !== null) await writeFile(settings.json, `${JSON.stringify(run, null, 2)}\n`);
    };
    await keep({}, `\n${workloadText(figures, { repeats, limits, baseline })}`);
    if (settings.profile) {
      const profiles = await profile(start, kind, path.join(folder, definition.name));
      await keep({ profiles }, profiles.map(profileText).join('\n'));
    }
    for (const kind of JOB_STAGES) {
      if (!stages.includes(kind)) continue;
      const job = await runJobs(files, kind, { folder, repeats, device });
      const rows = stagesText(definition.name, job.stages, { limits, baseline });
      const another = '  the job ran on another plan than the stages: it ran out of memory';
      await keep({ stages: [...workload.stages, ...job.stages] }, job.plan === plan ? rows : `${rows}\n${another}`);
    }
    workloads.push(workload);
  }
}

/** By operation, and on a GPU by kernel where they can be recorded. */
async function profile(start: StagesStart, kind: 'cpu' | 'gpu', folder: string): Promise<StageProfile[]> {
  if (kind === 'cpu') {
    const found = await runChild<StagesStart, StageProfiled[]>('profile-stages.js', start);
    return found.map((own) => own.profile);
  }
  const { tracer, problem } = await openTracer(folder);
  if (tracer === null) say(`  kernels are not recorded: ${problem}`);
  const found = await runChild<StagesStart, StageProfiled[]>('profile-stages.js', start, tracer?.env);
  const calls = await tracer?.read();
  return found.map((own) => (calls ? { ...own.profile, device: kernelFigures(calls, own.plain) } : own.profile));
}

/** Threads of one operation that a worker started here has. */
function threads(): number {
  const command = parseWorkerConfig([], process.env);
  return command.kind === 'help' ? 1 : command.config.threads;
}

async function ownVersion(): Promise<string> {
  const text = await readFile(path.join(projectRoot(), 'package.json'), 'utf8');
  return (JSON.parse(text) as { version: string }).version;
}
