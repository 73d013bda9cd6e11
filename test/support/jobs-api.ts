// The job API as a program calls it, for tests that make more calls than a process each would be fast enough for.
import { credentials, type ServiceError } from '@grpc/grpc-js';
import { type JobsClient, protocol } from '../../shared/rpc/protocol.ts';

const DEADLINE_MS = 10_000;

export class JobsApi {
  readonly #client: JobsClient;

  constructor(address: string) {
    this.#client = new (protocol().Jobs)(address, credentials.createInsecure(), { 'grpc.enable_http_proxy': 0 });
  }

  /** Removes a job that has ended. @throws the error of the call. */
  delete(id: string): Promise<void> {
    return new Promise((resolve, reject) => {
      const deadline = Date.now() + DEADLINE_MS;
      this.#client.delete({ id }, { deadline }, (error: ServiceError | null) => (error ? reject(error) : resolve()));
    });
  }

  /** How many jobs there are in these states, by one page. */
  count(states: readonly string[]): Promise<number> {
    return new Promise((resolve, reject) => {
      const deadline = Date.now() + DEADLINE_MS;
      this.#client.list({ states: [...states], pageSize: 1000 }, { deadline }, (error, answer) =>
        error ? reject(error) : resolve(answer?.jobs.length ?? 0),
      );
    });
  }

  close(): void {
    this.#client.close();
  }
}
