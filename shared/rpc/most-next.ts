// Apart from protocol.ts: a worker's engine thread reads it, and speaks no gRPC.

/** `next` of a solve or refit task at the most: beyond that many nobody would wait for the first. */
export const MOST_NEXT = 255;
