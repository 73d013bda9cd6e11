// Counts the calls of a server as they end, for metrics: by method, of those that the server has, and status.
import { ServerInterceptingCall, type ServerInterceptor, type ServiceDefinition, status } from '@grpc/grpc-js';

/** Calls `ended` once for each call; methods of other services (health, reflection, none at all) are not told of. */
export function countCalls(
  services: readonly ServiceDefinition[],
  ended: (method: string, status: string) => void,
): ServerInterceptor {
  const names = new Map(services.flatMap((service) => Object.entries(service).map(([name, { path }]) => [path, name])));
  return ({ path }, call) => {
    const name = names.get(path);
    if (name === undefined) return call instanceof ServerInterceptingCall ? call : new ServerInterceptingCall(call);
    let isTold = false;
    const tell = (code: status) => {
      if (isTold) return;
      isTold = true;
      ended(name, status[code] ?? 'UNKNOWN');
    };
    return new ServerInterceptingCall(call, {
      start(next) {
        next({
          onCancel() {
            tell(status.CANCELLED);
          },
        });
      },
      sendStatus(answer, next) {
        tell(answer.code ?? status.OK);
        next(answer);
      },
    });
  };
}
