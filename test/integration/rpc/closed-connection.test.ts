// Calls on a connection that this side has closed: the worker is gone, and nothing is wrong here.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { connectWorker } from '../../../shared/rpc/channel.ts';
import { fromStatus } from '../../../shared/rpc/status.ts';

test('a call on a closed connection finds no worker, whichever service it is of', () => {
  const connection = connectWorker('127.0.0.1:9');
  connection.close();
  const calls = [
    () => connection.worker.describe({}, () => {}),
    () => connection.worker.run({ taskId: 'fisher/0' }),
    () => connection.blobs.findMissing({ digests: [] }, () => {}),
    () => connection.blobs.put(() => {}),
  ];
  for (const call of calls) {
    let thrown: unknown = null;
    try {
      call();
    } catch (caught) {
      thrown = caught;
    }
    assert.ok(thrown instanceof Error, 'gRPC throws where it cannot call back');
    const { code, message } = fromStatus(thrown, connection.address);
    assert.deepEqual(
      { code, message },
      { code: 'worker_unavailable', message: '127.0.0.1:9: the connection is closed' },
    );
  }
});
