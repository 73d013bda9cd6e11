// Fisher information between memory and the file that stages keep it in.
import { readFile, writeFile } from 'node:fs/promises';
import type { FisherInformation } from '../../pruning/fisher.ts';
import { decodeSafetensors, encodeSafetensors } from '../../shared/safetensors.ts';
import type { NamedTensor } from '../../shared/tensor.ts';

/** @returns the path. */
export async function writeFisherFile(path: string, fisher: FisherInformation): Promise<string> {
  const list = (name: string, grams: readonly Float64Array[]) =>
    grams.map((data, layer): NamedTensor => ({ name: `${name}.${layer}`, dtype: 'F64', shape: [data.length], data }));
  const tensors: NamedTensor[] =
    fisher.form === 'rows'
      ? [{ name: 'rows', dtype: 'F32', shape: [fisher.rows, fisher.values.length / fisher.rows], data: fisher.values }]
      : [...list('head_gram', fisher.headGrams), ...list('neuron_gram', fisher.neuronGrams)];
  await writeFile(path, encodeSafetensors(tensors));
  return path;
}

export async function readFisherFile(path: string, layers: number): Promise<FisherInformation> {
  const { tensors } = decodeSafetensors(await readFile(path), path);
  const rows = tensors.get('rows');
  if (rows !== undefined) return { form: 'rows', rows: rows.shape[0], values: rows.data as Float32Array };
  const list = (name: string) =>
    Array.from({ length: layers }, (_, layer) => tensors.get(`${name}.${layer}`)!.data as Float64Array);
  return { form: 'gram', headGrams: list('head_gram'), neuronGrams: list('neuron_gram') };
}
