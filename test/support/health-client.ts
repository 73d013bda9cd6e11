// A client of grpc.health.v1, made from the package's own definition of the service.
import { type ClientReadableStream, credentials, makeClientConstructor, type ServiceError } from '@grpc/grpc-js';
import { service } from 'grpc-health-check';

const Health = makeClientConstructor(service, 'Health');

export interface HealthClient {
  /** The status, or the name of the gRPC status that the call failed with. */
  check(name: string): Promise<string>;
  /** What a watch tells, in order; it ends with an error, which is told as "error: its gRPC status". */
  watch(name: string): { readonly told: readonly string[]; end(): void };
  close(): void;
}

const CODES: Readonly<Record<number, string>> = {
  1: 'CANCELLED',
  4: 'DEADLINE_EXCEEDED',
  5: 'NOT_FOUND',
  8: 'RESOURCE_EXHAUSTED',
  12: 'UNIMPLEMENTED',
  14: 'UNAVAILABLE',
};

export function healthClient(port: number): HealthClient {
  const options = { 'grpc.use_local_subchannel_pool': 1, 'grpc.enable_retries': 0 };
  const client = new Health(`127.0.0.1:${port}`, credentials.createInsecure(), options);
  const nameOf = ({ code }: ServiceError) => CODES[code] ?? String(code);
  return {
    check: (name) =>
      new Promise((resolve) => {
        const deadline = Date.now() + 5_000;
        client.check({ service: name }, { deadline }, (error: ServiceError | null, answer?: { status: string }) =>
          resolve(error === null ? answer!.status : nameOf(error)),
        );
      }),
    watch(name) {
      const told: string[] = [];
      const call = client.watch({ service: name }) as ClientReadableStream<{ status: string }>;
      call.on('data', ({ status }: { status: string }) => told.push(status));
      call.on('error', (error) => told.push(`error: ${nameOf(error as ServiceError)}`));
      return { told, end: () => call.cancel() };
    },
    close: () => client.close(),
  };
}
