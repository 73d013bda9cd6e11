// Records as bytes, of this schema and of those before it. A record of a newer schema is known by what all schemas share,
// and is never claimed or written: the program that wrote it will go on with it.
//
//   schema 1   no `position`, `requeues`, `stageAttempt`, no labels of uploaded files; campaigns without `content`
//   schema 2   the method "paper" was called by its last stage, "tune"
//   schema 3   now
import { EspalierError } from '../../shared/errors.ts';
import { type CampaignRecord, type FileSource, type JobRecord, RECORD_SCHEMA } from './job-record.ts';

/** Values above this would come near the bus's limit of a message. */
export const MAX_RECORD_BYTES = 1_000_000;

export type ReadJob =
  | { readonly kind: 'known'; readonly record: JobRecord }
  | { readonly kind: 'newer'; readonly schema: number; readonly shared: NewerRecord };

/** What may be shown of a record of a newer schema, as far as it is there. */
export type NewerRecord = Partial<Pick<JobRecord, 'campaign' | 'name' | 'createdAt'>>;

/** @throws EspalierError "state_schema" for bytes that are no record. */
export function decodeJob(key: string, bytes: Uint8Array): ReadJob {
  const { schema, value } = decode(key, bytes);
  if (schema > RECORD_SCHEMA) return { kind: 'newer', schema, shared: value as NewerRecord };
  if (schema === RECORD_SCHEMA) return { kind: 'known', record: value as unknown as JobRecord };
  const record = value as unknown as JobRecord;
  return { kind: 'known', record: fromSchema2(schema === 1 ? fromSchema1(record) : record) };
}

function fromSchema2(record: JobRecord): JobRecord {
  const { spec } = record;
  const method = (spec.method as string) === 'tune' ? 'paper' : spec.method;
  return { ...record, schema: RECORD_SCHEMA, spec: { ...spec, method } };
}

function fromSchema1(record: JobRecord): JobRecord {
  const { spec } = record;
  const labelled = (source: FileSource, label: string): FileSource =>
    source.kind === 'blobs' ? { ...source, label: source.label ?? label } : source;
  return {
    ...record,
    spec: {
      ...spec,
      model: labelled(spec.model, 'model'),
      data: labelled(spec.data, 'data'),
      evaluation: spec.evaluation && labelled(spec.evaluation, 'evaluation'),
    },
    // Whether the newest attempt has stored a stage was not recorded: if its owner is gone that counts as a death, as then.
    ...{ position: record.position ?? 0, requeues: record.requeues ?? 0, stageAttempt: record.stageAttempt ?? 0 },
  };
}

/** A running job's record with the request to cancel it, in the schema that it was stored in: its owner may be an older
 * coordinator, which would take a record of a newer schema for another's and drop the job. */
export function withCancelRequested(key: string, bytes: Uint8Array): Uint8Array {
  const { value } = decode(key, bytes);
  return new TextEncoder().encode(JSON.stringify({ ...value, cancelRequested: true }));
}

/** Of one of a newer schema, what may be shown, and that schema. @throws EspalierError "state_schema". */
export function decodeCampaign(key: string, bytes: Uint8Array): CampaignRecord {
  const { schema, value } = decode(key, bytes);
  if (schema <= RECORD_SCHEMA) return { content: null, ...value, schema: RECORD_SCHEMA } as CampaignRecord;
  const { id = '', name = '', createdAt = '', jobs = [] } = value;
  return { schema, id, name, createdAt, jobs: Array.isArray(jobs) ? jobs : [], content: null };
}

/** @throws EspalierError "limit_exceeded" for a record that is too large to store. */
export function encodeRecord(record: JobRecord | CampaignRecord): Uint8Array {
  const bytes = new TextEncoder().encode(JSON.stringify(record));
  if (bytes.length > MAX_RECORD_BYTES)
    throw new EspalierError(
      'limit_exceeded',
      `${record.id}: the record has ${bytes.length} bytes, expected at most ${MAX_RECORD_BYTES}`,
      { action: 'use fewer budgets a job, or fewer jobs a campaign' },
    );
  return bytes;
}

function decode(key: string, bytes: Uint8Array): { schema: number; value: Partial<JobRecord & CampaignRecord> } {
  try {
    const value = JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(bytes));
    if (Number.isSafeInteger(value?.schema) && value.schema >= 1) return { schema: value.schema, value };
  } catch {
    // Told below: what the bytes are instead helps nobody.
  }
  throw new EspalierError('state_schema', `${key}: the stored value is no record of jobs`, {
    action: 'restore the bucket of jobs from a back-up, or delete the key',
  });
}
