// What the metrics of every process have in common: an own registry, Node's default metrics, the build, certificates.
// Names begin with `espalier_`, units are base units, and labels take few values: never an id, an address or a name that
// a user chose.
import { collectDefaultMetrics, Gauge, Registry } from 'prom-client';
import { memoryLimitBytes } from './memory-limit.ts';

/** Seconds, from a task of the smallest model to a stage of the largest. */
export const DURATION_BUCKETS = [0.01, 0.03, 0.1, 0.3, 1, 3, 10, 30, 100, 300, 1000, 3000];

export const TASK_KINDS = [
  'fisher',
  'normal_equations',
  'solve',
  'evaluate',
  'latency',
  'activations',
  'evaluate_onnx',
  'gradients',
  'refit_equations',
  'refit',
] as const;
export type TaskKind = (typeof TASK_KINDS)[number];

/** null: not known now. */
type CertificateEnd = () => Date | null | Promise<Date | null>;

export interface BuildInfo {
  readonly version: string;
  readonly protocolVersion: number;
}

export class ProcessMetrics {
  readonly registry = new Registry();
  readonly #certificates = new Map<string, CertificateEnd>();

  constructor(build: BuildInfo) {
    collectDefaultMetrics({ register: this.registry });
    const info = new Gauge({
      name: 'espalier_build_info',
      help: 'Always 1; the labels say what runs.',
      labelNames: ['version', 'protocol_version', 'node_version'],
      registers: [this.registry],
    });
    info.set(
      { version: build.version, protocol_version: String(build.protocolVersion), node_version: process.version },
      1,
    );
    this.show(
      'espalier_memory_limit_bytes',
      'Bytes of memory that the process and others of its container may use; none where only the machine limits it.',
      memoryLimitBytes,
    );
    const certificates = this.#certificates;
    new Gauge({
      name: 'espalier_certificate_expiry_timestamp_seconds',
      help: 'When a certificate ends, in seconds since 1970; none without TLS.',
      labelNames: ['certificate'],
      registers: [this.registry],
      async collect() {
        for (const [certificate, validTo] of certificates) {
          const end = await validTo();
          if (end === null) this.remove({ certificate });
          else this.set({ certificate }, end.getTime() / 1000);
        }
      },
    });
  }

  /** Shows when a certificate ends; asked anew with every scrape, since files are renewed.
   * @param certificate that this process presents over gRPC or to NATS, or that NATS presented to it. */
  watchCertificate(certificate: 'grpc' | 'nats' | 'nats_server', validTo: CertificateEnd): void {
    this.#certificates.set(certificate, validTo);
  }

  /** A gauge that is asked with every scrape; null: not shown this time. Without `read` there is no such metric. */
  protected show(name: string, help: string, read: (() => number | null) | undefined): void {
    if (read === undefined) return;
    new Gauge({
      name,
      help,
      registers: [this.registry],
      collect() {
        const value = read();
        if (value === null) this.remove();
        else this.set(value);
      },
    });
  }
}

/** `kind` of a task's request where it is one of ours, for a label. @param kind as in the protocol's files, or as the types that
 * are made from them write it: "refit_equations", "refitEquations". */
export function taskKindLabel(kind: string): TaskKind | 'other' {
  const written = kind.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);
  return TASK_KINDS.find((known) => known === written) ?? 'other';
}
