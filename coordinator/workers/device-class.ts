// Which workers may serve one job together: those that give the same bits.
import { EspalierError } from '../../shared/errors.ts';
import { type DeviceClass, PROTOCOL_VERSION, type WorkerDescription } from '../../shared/rpc/protocol.ts';
import { espalierVersion } from '../../shared/rpc/version.ts';

/** One line, equal for equal classes: `cpu avx512, 1 thread, tensorflow 2.21.0, plain, tf32 off`; of a GPU with
 * the step of its memory, `…, 64 GB`. */
export function describeClass(device: DeviceClass): string {
  const { kind, model, intraOpThreads, tensorflowVersion, kernels, tf32, memoryGb } = device;
  const threads = `${intraOpThreads} thread${intraOpThreads === 1 ? '' : 's'}`;
  const memory = memoryGb > 0 ? `, ${memoryGb} GB` : '';
  return `${kind} ${model}, ${threads}, tensorflow ${tensorflowVersion}, ${kernels}, tf32 ${tf32 ? 'on' : 'off'}${memory}`;
}

/** The worker's class, when it may join a job of `expected` class (null: it is the first).
 * @throws EspalierError "protocol" for another version, "device_class_mismatch" for another class. */
export function checkWorker(address: string, worker: WorkerDescription, expected: DeviceClass | null): DeviceClass {
  if (worker.protocolVersion !== PROTOCOL_VERSION || worker.version !== espalierVersion())
    throw new EspalierError(
      'protocol',
      `${address}: got a worker of version ${worker.version}, protocol ${worker.protocolVersion}, expected ${espalierVersion()}, protocol ${PROTOCOL_VERSION}`,
    );
  if (!worker.deviceClass) throw new EspalierError('protocol', `${address}: got a worker without a device class`);
  const got = describeClass(worker.deviceClass);
  if (expected !== null && got !== describeClass(expected))
    throw new EspalierError('device_class_mismatch', `${address}: got ${got}, expected ${describeClass(expected)}`);
  return worker.deviceClass;
}
