// Bounds of what a client of the job API can ask for. docs/api.md lists them.

const MIB = 1024 * 1024;

/** A campaign of 4 MiB and the digests of its inputs. */
export const MOST_REQUEST_BYTES = 16 * MIB;
export const MOST_RESPONSE_BYTES = 64 * MIB;
export const MOST_CLIENT_KEY_CHARACTERS = 128;
export const MOST_CAMPAIGN_CHARACTERS = 4 * MIB;
export const MOST_INPUTS = 20_000;
export const LARGEST_FILE_BYTES = 64 * 1024 * MIB;
export const MOST_DIGESTS = 4096;
export const LONGEST_ID = 64;
export const LONGEST_PAGE_TOKEN = 512;
export const USUAL_PAGE = 100;
export const LARGEST_PAGE = 1000;
/** Uploads of all clients that one coordinator takes in at a time: each holds a few chunks in memory. */
export const MOST_UPLOADS = 32;
/** An upload that sends nothing for so long is given up. */
export const UPLOAD_SILENCE_MS = 60_000;
export const MOST_DOWNLOADS = 64;
export const MOST_WATCHES = 1024;
/** Share of the store that new blobs and jobs may fill: the rest is for the stages and results of jobs that run. */
export const ROOM_FOR_NEW = { name: 'object store', share: 0.9 };
