// A program for tests to kill: starts two local workers, prints their process ids, and waits. Argument: the blob folder.
import { LocalCluster } from '../../coordinator/workers/local-cluster.ts';

const cluster = await LocalCluster.start({ count: 2, blobDir: process.argv[2], device: 'cpu' });
process.stdout.write(`${JSON.stringify(cluster.pids)}\n`);
setInterval(() => {}, 60_000);
