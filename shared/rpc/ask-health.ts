// Asks a health port (health-port.ts) once, as a probe does.
import { credentials, makeClientConstructor, type ServiceError } from '@grpc/grpc-js';
import { service } from 'grpc-health-check';
import { EspalierError } from '../errors.ts';

/** @param address host:port, which answers without TLS. @param name of the service: "" or "ready".
 * @throws EspalierError "not_serving" for any answer but SERVING, and when none comes in time. */
export function askHealth(address: string, name: string, timeoutMs: number): Promise<void> {
  const Health = makeClientConstructor(service, 'Health');
  const client = new Health(address, credentials.createInsecure(), {
    'grpc.enable_http_proxy': 0,
    'grpc.enable_retries': 0,
  });
  return new Promise((resolve, reject) => {
    const onAnswer = (error: ServiceError | null, answer?: { readonly status: string }) => {
      client.close();
      if (answer?.status === 'SERVING') resolve();
      else {
        const got = answer === undefined ? (error?.details ?? 'no answer') : answer.status;
        reject(new EspalierError('not_serving', `${address}: got ${got}, expected SERVING`, { cause: error }));
      }
    };
    client.check({ service: name }, { deadline: Date.now() + timeoutMs }, onAnswer);
  });
}
