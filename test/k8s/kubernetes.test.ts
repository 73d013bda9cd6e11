// The manifests of k8s/ on a real control plane, with our processes as the containers (see images.ts for what is real and
// what is not). One lab for all parts, which go on from each other.
import { after, before, describe, it } from 'node:test';
import { everyObjectIsAccepted, kueueLabelsWorkers, renderedIsCurrent, wrongObjectsAreRefused } from './accepted.ts';
import { devOverlayPrunes } from './dev-overlay.ts';
import { budgetHoldsTheLastCoordinator } from './disruption.ts';
import { scaleDownDrains } from './draining.ts';
import { startGpuCluster } from './gpu-cluster.ts';
import { queueScalesWorkers } from './scaling.ts';
import { nothingWasRestarted, uninstallKeepsModels } from './uninstall.ts';
import { upgradeKeepsJobs } from './upgrade.ts';
import { wrongScaledObjectsAreRefused } from './webhook.ts';
import { World } from './world.ts';

const TIME_MS = 900_000;
const words = (process.env.ESPALIER_K8S_PARTS ?? '').split(' ').filter(Boolean);

const PARTS: readonly (readonly [name: string, run: (world: World) => Promise<void>])[] = [
  ['the rendered manifests are what this kubectl makes of k8s/', renderedIsCurrent],
  ['the API server accepts every object of every overlay, strictly and without a warning', everyObjectIsAccepted],
  ['it refuses a privileged pod and an unknown field', wrongObjectsAreRefused],
  ['the overlay dev prunes a model, with certificates of the script', devOverlayPrunes],
  ['the overlay gpu starts', startGpuCluster],
  ['KEDA scales workers from none to the queue, to new GPU nodes, and back to none', queueScalesWorkers],
  ['scale-down in the middle of jobs drains workers and repeats no work', scaleDownDrains],
  ['a drain of nodes stops at the budget of the coordinators', budgetHoldsTheLastCoordinator],
  [
    'KEDA refuses wrong bounds, and its webhook a second ScaledObject for the same workers',
    wrongScaledObjectsAreRefused,
  ],
  ['an upgrade to the next version loses no job', upgradeKeepsJobs],
  ['an uninstall keeps the models, and the next apply finds them', uninstallKeepsModels],
  ['the overlay kueue puts the workers into a queue', kueueLabelsWorkers],
  ['no container ended but with its pod', nothingWasRestarted],
];

describe('Kubernetes', { timeout: TIME_MS }, () => {
  let world: World;

  before(async () => {
    world = await World.start({ gpuNodes: 1, cpuNodes: 3 });
  });

  after(() => world?.stop());

  for (const [name, run] of PARTS) {
    const isChosen = words.length === 0 || words.some((word) => name.includes(word));
    it(name, { skip: !isChosen }, () => run(world));
  }
});
