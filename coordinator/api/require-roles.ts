// Who may call what: a certificate with the role "submit" everything, one with "read" what changes nothing; questions for
// health are answered to any certificate of the authority.
import { ServerInterceptingCall, type ServerInterceptor } from '@grpc/grpc-js';
import { EspalierError } from '../../shared/errors.ts';
import type { Log } from '../../shared/log.ts';
import { type Role, rolesOf } from '../../shared/rpc/roles.ts';
import { toStatus } from '../../shared/rpc/status.ts';

const SUBMIT: readonly Role[] = ['submit'];
const READ: readonly Role[] = ['submit', 'read'];

const READING = [
  '/espalier.v1.Jobs/List',
  '/espalier.v1.Jobs/Get',
  '/espalier.v1.Jobs/Watch',
  '/espalier.v1.Artifacts/Get',
  '/grpc.reflection.v1.ServerReflection/ServerReflectionInfo',
  '/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo',
];
const HEALTH_SERVICE = '/grpc.health.v1.Health/';

/** Refuses calls of peers whose certificate lacks the role for the method. */
export function requireRoles(log: Log): ServerInterceptor {
  return (method, call) =>
    new ServerInterceptingCall(call, {
      start(next) {
        next({
          onReceiveMetadata(metadata, forward) {
            const allowed = READING.includes(method.path) ? READ : SUBMIT;
            const roles = rolesOf(call.getAuthContext().sslPeerCertificate?.subjectaltname);
            if (method.path.startsWith(HEALTH_SERVICE) || allowed.some((role) => roles.includes(role))) {
              forward(metadata);
              return;
            }
            const got = roles.length > 0 ? `role ${roles.join(', ')}` : 'no role';
            const error = new EspalierError(
              'wrong_role',
              `${call.getPeer()}: got a certificate with ${got}, expected ${allowed.join(' or ')}`,
            );
            log.warning('peer refused', { method: method.path, error });
            call.sendStatus(toStatus(error));
          },
        });
      },
    });
}
