// What a stream takes and may take.
import type { StoreUsage } from './bus.ts';
import type { JetStream } from './jet-stream.ts';

interface StreamInfo {
  readonly config: { readonly max_bytes?: number };
  readonly state: { readonly bytes: number };
}

export async function streamUsage(jetStream: JetStream, stream: string): Promise<StoreUsage> {
  const { config, state } = await jetStream.api<StreamInfo>(`STREAM.INFO.${stream}`);
  const limitBytes = config.max_bytes ?? -1;
  return { bytes: state.bytes, limitBytes: limitBytes < 0 ? Number.MAX_SAFE_INTEGER : limitBytes };
}
