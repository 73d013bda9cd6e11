// A pod's volumes as folders on this machine. Those of claims stay when the pod goes; the others are its own.
import { chmodSync, chownSync, mkdirSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import type { KubeApi } from './kube-api.ts';
import type { KeyItem, KubeObject, Pod, Volume } from './kube-objects.ts';
import { paths } from './names.ts';
import { configMapText, secretText } from './pod-env.ts';

export interface PreparedVolume {
  readonly folder: string;
  readonly readOnly: boolean;
}

/** @param own folder for what goes with the pod. @param claims folder of the volumes that stay. */
export async function prepareVolumes(
  api: KubeApi,
  { spec }: Pod,
  own: string,
  claims: string,
): Promise<ReadonlyMap<string, PreparedVolume>> {
  const group = spec.securityContext?.fsGroup ?? 0;
  const prepared = new Map<string, PreparedVolume>();
  for (const volume of spec.volumes ?? []) {
    const { name, emptyDir, persistentVolumeClaim: claim } = volume;
    const folder = claim ? path.join(claims, await claimUid(api, claim.claimName)) : path.join(own, name);
    mkdirSync(folder, { recursive: true });
    if (emptyDir !== undefined || claim !== undefined) {
      // As a kubelet does for a group of files: it owns the folder and whatever is made in it.
      chownSync(folder, 0, group);
      chmodSync(folder, emptyDir === undefined ? 0o2775 : 0o2777);
      prepared.set(name, { folder, readOnly: claim?.readOnly ?? false });
      continue;
    }
    for (const [file, text] of Object.entries(await filesOf(api, volume))) {
      const target = path.join(folder, file);
      mkdirSync(path.dirname(target), { recursive: true });
      writeFileSync(target, text);
      chownSync(target, 0, group);
      chmodSync(target, modeOf(volume) | (group === 0 ? 0 : 0o040));
    }
    chmodSync(folder, 0o755);
    prepared.set(name, { folder, readOnly: true });
  }
  return prepared;
}

/** A claim of the same name that was deleted in between is another volume. */
async function claimUid(api: KubeApi, name: string): Promise<string> {
  return (await api.get<KubeObject>(paths.claim(name))).metadata.uid!;
}

function modeOf({ configMap, secret, projected }: Volume): number {
  return (configMap ?? secret ?? projected)?.defaultMode ?? 0o644;
}

async function filesOf(api: KubeApi, { name, configMap, secret, projected }: Volume): Promise<Record<string, string>> {
  if (configMap) return chosen(await configMapText(api, configMap.name, configMap.optional), configMap.items);
  if (secret) return chosen(await secretText(api, secret.secretName, secret.optional), secret.items);
  if (projected === undefined) throw new Error(`the node agent knows no volume of the kind of ${name}`);
  const files: Record<string, string> = {};
  for (const { configMap: map, secret: hidden } of projected.sources) {
    if (map) Object.assign(files, chosen(await configMapText(api, map.name), map.items));
    else if (hidden) Object.assign(files, chosen(await secretText(api, hidden.name), hidden.items));
    else throw new Error(`the node agent knows no source of the projected volume ${name}`);
  }
  return files;
}

function chosen(entries: Record<string, string>, items?: readonly KeyItem[]): Record<string, string> {
  if (items === undefined) return entries;
  return Object.fromEntries(
    items.map(({ key, path: file }) => {
      if (entries[key] === undefined) throw new Error(`there is no key ${key} for ${file}`);
      return [file, entries[key]];
    }),
  );
}
