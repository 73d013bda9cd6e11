import { BytesIEC, Celsius, Mebibytes, Percent, PercentUnit, Watt } from '@grafana/grafana-foundation-sdk/units';
import type { Row } from '../row.ts';
import { OWN } from '../selectors.ts';

/** A metric of NVIDIA's DCGM exporter. It names the namespace of the pod that has the GPU: as `namespace` where Prometheus
 * honours its labels, else as `exported_namespace` beside the exporter's own. GPUs that no pod has are left out. */
function dcgm(metric: string): string {
  const honoured = `${metric}{exported_namespace="", pod!="", namespace=~"$namespace"}`;
  return `${metric}{exported_namespace!="", exported_namespace=~"$namespace"} or ${honoured}`;
}

const GPU = '{{Hostname}} GPU {{gpu}}';

export const GPUS: Row = {
  title: 'GPU: Espalier beside DCGM',
  panels: [
    {
      title: 'Busy by Espalier',
      description:
        'Share of the last minute in which each worker computed a task. High here and low in the next: the task waits for its CPU or its bytes.',
      unit: PercentUnit,
      max: 1,
      queries: [{ expr: `espalier_worker_busy_ratio{${OWN}}`, legend: '{{instance}}' }],
    },
    {
      title: 'GPU utilisation',
      description:
        'Share of the time in which a kernel ran, by DCGM. Needs the DCGM exporter. With all namespaces GPUs of other programs show, too.',
      unit: Percent,
      max: 100,
      queries: [{ expr: dcgm('DCGM_FI_DEV_GPU_UTIL'), legend: GPU }],
    },
    {
      title: 'Memory of GPUs in use',
      description: 'Frame buffer in use, by DCGM. TensorFlow takes memory and keeps it.',
      unit: Mebibytes,
      queries: [{ expr: dcgm('DCGM_FI_DEV_FB_USED'), legend: GPU }],
    },
    {
      title: 'GPU memory peak of workers',
      description: 'The most memory that has been in use on the GPU of each worker since its start.',
      unit: BytesIEC,
      queries: [{ expr: `espalier_gpu_memory_peak_bytes{${OWN}}`, legend: '{{instance}}' }],
    },
    {
      title: 'Power',
      description: 'Power draw of each GPU, by DCGM.',
      unit: Watt,
      queries: [{ expr: dcgm('DCGM_FI_DEV_POWER_USAGE'), legend: GPU }],
    },
    {
      title: 'Temperature of GPUs',
      description: 'By DCGM. A GPU that is too hot lowers its clocks, and its tasks become slow.',
      unit: Celsius,
      related: ['EspalierTaskRetriesHigh'],
      queries: [{ expr: dcgm('DCGM_FI_DEV_GPU_TEMP'), legend: GPU }],
    },
  ],
};
