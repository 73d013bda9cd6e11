// Who may call what: a certificate with the role "submit" everything, one with "read" what changes nothing.
import type { Role } from '../../shared/rpc/roles.ts';

const READING: ReadonlySet<string> = new Set([
  '/espalier.v1.Jobs/List',
  '/espalier.v1.Jobs/Get',
  '/espalier.v1.Jobs/Watch',
  '/espalier.v1.Artifacts/Get',
  '/grpc.reflection.v1.ServerReflection/ServerReflectionInfo',
  '/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo',
]);

/** Roles of which a caller of this method needs one. */
export function rolesForMethod(path: string): readonly Role[] {
  return READING.has(path) ? ['submit', 'read'] : ['submit'];
}
