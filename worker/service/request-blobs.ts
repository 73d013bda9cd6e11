// Which blobs a task names.
import { checkDigest } from '../../shared/blobs/digest.ts';
import { EspalierError } from '../../shared/errors.ts';
import type { BlobRef__Output } from '../../shared/rpc/generated/espalier/v1/BlobRef.ts';
import type { RunRequest } from '../../shared/rpc/protocol.ts';

const MAX_BLOBS = 1024;

/** Every blob that the task reads. @throws EspalierError "protocol" when the request has no task, or too many blobs, or
 * a name that is no digest. */
export function blobsOf(request: RunRequest): BlobRef__Output[] {
  const task = request[request.task ?? missingTask()];
  if (!task) missingTask();
  const refs: (BlobRef__Output | null | undefined)[] = [...(task.model?.weights ?? [])];
  if ('models' in task) refs.push(...task.models.flatMap(({ weights }) => weights));
  if ('plan' in task) refs.push(task.plan);
  if ('fit' in task)
    for (const source of [task.fit, task.heldOut])
      refs.push(source?.sums, ...(source?.nodes?.nodes ?? []).map(({ sums }) => sums));
  if ('states' in task)
    refs.push(...[task.states].flat().map((states) => (states && 'blob' in states ? states.blob : states)));
  if ('student' in task) refs.push(...(task.student?.patches ?? []).map(({ blob }) => blob));
  if ('students' in task) refs.push(...task.students.flatMap(({ patches }) => patches.map(({ blob }) => blob)));
  if ('weights' in task) refs.push(...(task.weights?.gradients ?? []).map(({ blob }) => blob));
  const named = refs.filter((ref) => ref !== null && ref !== undefined);
  if (named.length > MAX_BLOBS)
    throw new EspalierError('protocol', `${request.taskId}: got ${named.length} blobs, expected at most ${MAX_BLOBS}`);
  for (const { digest } of named) checkDigest(digest);
  return named;
}

function missingTask(): never {
  throw new EspalierError('protocol', 'got a request without a task, or with one of a kind that is not known');
}
