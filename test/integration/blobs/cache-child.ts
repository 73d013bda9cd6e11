// Run by object-cache.test: pulls one object into a folder that several processes share, and says who brought it. Told
// "hang", it pulls for ever.
import { BlobStore } from '../../../shared/blobs/blob-store.ts';
import { ObjectCache } from '../../../shared/blobs/object-cache.ts';
import type { ObjectBucket } from '../../../shared/bus/bus.ts';
import { connectBus } from '../../../shared/bus/nats-bus.ts';

const [folder, url, digest, size, work] = process.argv.slice(2);
const bus = await connectBus({ servers: [url], credentials: null, tls: null });
const blobs = await BlobStore.open(folder, { limitBytes: 1e9 });
const hanging: Pick<ObjectBucket, 'open'> = {
  async *open(name) {
    for await (const chunk of bus.objects.open(name)) {
      yield chunk;
      process.stdout.write('pulling\n');
      await new Promise((resolve) => setTimeout(resolve, 3_600_000));
    }
  },
};
const objects = work === 'hang' ? ({ ...bus.objects, ...hanging } as ObjectBucket) : bus.objects;
let brought = 'found';
const cache = new ObjectCache(objects, blobs, {
  onPulled: () => {
    brought = 'pulled';
  },
});
await cache.fetch(digest, Number(size));
process.stdout.write(`${brought}\n`);
await bus.close();
