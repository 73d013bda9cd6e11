// What a certificate entitles its owner to: roles are URIs among its alternative names (docs/adr/0010-mutual-tls.md).
import { ServerInterceptingCall, type ServerInterceptor } from '@grpc/grpc-js';
import { EspalierError } from '../errors.ts';
import type { Log } from '../log.ts';
import { toStatus } from './status.ts';

/** `worker` and `coordinator` are what processes are; `submit` and `read` are what users may do. */
export type Role = 'worker' | 'coordinator' | 'submit' | 'read';

const ROLE_URI = 'URI:espalier:role:';
const HEALTH_SERVICE = '/grpc.health.v1.Health/';

/** Roles that a verified certificate names.
 * @param alternativeNames as Node writes them: `DNS:a, URI:b`, with a name in quotes that could be taken for several. */
export function rolesOf(alternativeNames: string | undefined): string[] {
  const names = alternativeNames?.match(/[^:,"]+:(?:"(?:[^"\\]|\\.)*"|[^,"]*)/g) ?? [];
  return names
    .map((name) => name.trim())
    .filter((name) => name.startsWith(ROLE_URI))
    .map((name) => name.slice(ROLE_URI.length));
}

/** One role, or several of which any will do. */
export type RoleChoice = Role | readonly Role[];

/** @throws EspalierError "wrong_role" unless one of `wanted` is among those of the certificate of `owner`. */
export function checkRole(owner: string, alternativeNames: string | undefined, wanted: RoleChoice): void {
  const expected: readonly Role[] = typeof wanted === 'string' ? [wanted] : wanted;
  const roles = rolesOf(alternativeNames);
  if (expected.some((role) => roles.includes(role))) return;
  const got = roles.length > 0 ? `role ${roles.join(', ')}` : 'no role';
  throw new EspalierError('wrong_role', `${owner}: got a certificate with ${got}, expected ${expected.join(' or ')}`);
}

/** Refuses every call of peers without `role`, except questions for health. */
export function requireRole(role: Role, log: Log): ServerInterceptor {
  return requireRoles(() => [role], log);
}

/** Refuses every call of peers that have none of the roles for its method (`/package.Service/Method`), except questions
 * for health. No roles: nobody may call it. */
export function requireRoles(rolesFor: (methodPath: string) => readonly Role[], log: Log): ServerInterceptor {
  return (method, call) =>
    new ServerInterceptingCall(call, {
      start(next) {
        next({
          onReceiveMetadata(metadata, forward) {
            try {
              if (!method.path.startsWith(HEALTH_SERVICE)) {
                const { sslPeerCertificate } = call.getAuthContext();
                checkRole(call.getPeer(), sslPeerCertificate?.subjectaltname, rolesFor(method.path));
              }
              forward(metadata);
            } catch (caught) {
              log.warning('peer refused', { method: method.path, error: caught });
              call.sendStatus(toStatus(caught));
            }
          },
        });
      },
    });
}
