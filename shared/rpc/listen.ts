// Where a gRPC server listens.
import { type Server, ServerCredentials } from '@grpc/grpc-js';
import { EspalierError } from '../errors.ts';
import type { Tls } from './tls.ts';

/** Binds a server that has its services, with TLS for peers with a certificate, or without for whoever reaches the port.
 * @param port 0: any free port. @returns the port. @throws EspalierError "usage" when it cannot be had. */
export function listen(server: Server, tls: Tls | null, host: string, port: number): Promise<number> {
  const credentials = tls === null ? ServerCredentials.createInsecure() : tls.serverCredentials();
  const address = host.includes(':') ? `[${host}]:${port}` : `${host}:${port}`;
  return new Promise((resolve, reject) => {
    server.bindAsync(address, credentials, (error, boundPort) => {
      if (error === null) resolve(boundPort);
      else reject(new EspalierError('usage', `${address}: cannot be listened on: ${error.message}`, { cause: error }));
    });
  });
}
