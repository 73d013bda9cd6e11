// The overlay gpu in the lab: with certificates, and in the ScaledObject with times that a test can wait for. Nothing else
// of it is changed.
import { mkdirSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { stringify } from 'yaml';
import { issueCertificates } from './certificate-issuer.ts';
import { paths } from './names.ts';
import type { World } from './world.ts';

const READY_SECONDS = 90;
/** In place of 15 s, 300 s and 300 s. */
const SHORT_TIMES = {
  pollingInterval: 2,
  cooldownPeriod: 8,
  advanced: { horizontalPodAutoscalerConfig: { behavior: { scaleDown: { stabilizationWindowSeconds: 5 } } } },
};

/** Applies the overlay, or applies it again with images of another version. @param flags of kubectl. */
export async function applyGpuOverlay(
  { lab, manifests }: World,
  version: string | null = null,
  flags: readonly string[] = [],
): Promise<void> {
  const folder = path.join(lab.folder, `gpu-${version ?? 'as-it-is'}`);
  mkdirSync(folder, { recursive: true });
  const image = (name: string, newTag: string) => ({ name: `ghcr.io/espalier/${name}`, newTag });
  const kustomization = {
    apiVersion: 'kustomize.config.k8s.io/v1beta1',
    kind: 'Kustomization',
    resources: [path.relative(folder, manifests('overlays', 'gpu'))],
    images: version === null ? [] : [image('coordinator', version), image('worker', `${version}-gpu`)],
    patches: [
      {
        patch: JSON.stringify({
          apiVersion: 'keda.sh/v1alpha1',
          kind: 'ScaledObject',
          metadata: { name: 'worker', namespace: 'espalier' },
          spec: SHORT_TIMES,
        }),
      },
    ],
  };
  writeFileSync(path.join(folder, 'kustomization.yaml'), stringify(kustomization));
  await lab.kubectlOk('apply', '--validate=strict', '-k', folder, ...flags);
}

/** Resolves when NATS and the coordinators are ready, and KEDA has taken the workers over. */
export async function startGpuCluster(world: World): Promise<void> {
  const { api, lab, timeline } = world;
  await applyGpuOverlay(world);
  await issueCertificates(api, path.join(lab.folder, 'issued'));
  timeline.say('overlay gpu applied, certificates issued');
  await world.ready(paths.statefulSet('nats'), READY_SECONDS);
  await world.ready(paths.deployment('coordinator'), READY_SECONDS);
  timeline.say('NATS and coordinators are ready');
}
