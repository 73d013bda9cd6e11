// What is in the object store: objects by the messages that name them, and uploads by their chunks.
import type { JetStream } from './jet-stream.ts';
import { ALL_CHUNKS, ALL_OBJECTS, decodeInfo, type ObjectInfo, uploadOf } from './object-layout.ts';
import { OBJECTS_STREAM } from './streams.ts';

const PAGE = 256;

/** Page by page, each from any replica. With one that lags, an object may be left out that is renewed between two pages. */
export async function* listObjects(
  jetStream: JetStream,
): AsyncGenerator<{ info: ObjectInfo; storedAt: Date }, void, undefined> {
  for (let from = 1, got = PAGE; got === PAGE; ) {
    const page: { info: ObjectInfo; storedAt: Date }[] = [];
    got = await jetStream.batch(OBJECTS_STREAM, { from, subject: ALL_OBJECTS, count: PAGE }, (message) => {
      from = message.sequence + 1;
      const info = decodeInfo(message.data);
      if (info !== null) page.push({ info, storedAt: message.time });
    });
    yield* page;
  }
}

/** One by one from the leader, and none left out: one that is renewed meanwhile goes to the end and is told again. */
export async function* listAtLeader(jetStream: JetStream): AsyncGenerator<ObjectInfo, void, undefined> {
  for (let from = 1; ; ) {
    const found = await jetStream.next(OBJECTS_STREAM, ALL_OBJECTS, from);
    if (found === null) return;
    from = found.sequence + 1;
    const info = decodeInfo(found.data);
    if (info !== null) yield info;
  }
}

/** Uploads that have chunks, and the server's time; from the leader. */
export async function listUploads(jetStream: JetStream): Promise<{ uploads: Set<string>; now: Date }> {
  const uploads = new Set<string>();
  for (;;) {
    const request = { subjects_filter: ALL_CHUNKS, offset: uploads.size };
    const { state, total, ts } = await jetStream.api<SubjectsPage>(`STREAM.INFO.${OBJECTS_STREAM}`, request);
    const before = uploads.size;
    for (const subject of Object.keys(state.subjects ?? {})) uploads.add(uploadOf(subject));
    if (uploads.size >= (total ?? 0) || uploads.size === before) return { uploads, now: new Date(ts) };
  }
}

interface SubjectsPage {
  readonly state: { readonly subjects?: Readonly<Record<string, number>> };
  readonly total?: number;
  readonly ts: string;
}
