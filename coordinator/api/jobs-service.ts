// The Jobs service: what clients ask for becomes calls of the store of jobs.
import type { Bus } from '../../shared/bus/bus.ts';
import type { Log } from '../../shared/log.ts';
import type { JobEvent as EventMessage } from '../../shared/rpc/generated/espalier/v1/JobEvent.ts';
import type { WatchRequest__Output } from '../../shared/rpc/generated/espalier/v1/WatchRequest.ts';
import type { JobsHandlers } from '../../shared/rpc/protocol.ts';
import { inSpan, type Tracer } from '../../shared/telemetry/trace.ts';
import type { VolumeChecks } from '../campaign/check-volumes.ts';
import type { JobRecord } from '../jobs/job-record.ts';
import type { JobStore } from '../jobs/job-store.ts';
import { Places, streaming, unary } from './answer.ts';
import { recordMessage, summaryMessage } from './job-message.ts';
import { MOST_WATCHES } from './limits.ts';
import { checkId, checkPage, checkSequence, checkStates } from './request-fields.ts';
import { submit } from './submit.ts';
import { watchJob } from './watch-job.ts';

export interface JobsServiceParts {
  readonly store: JobStore;
  readonly bus: Pick<Bus, 'objects' | 'events'>;
  readonly volumes: { has(name: string): boolean };
  readonly volumeChecks: Pick<VolumeChecks, 'check'>;
  /** Aborted when watches should end. */
  readonly stopped: AbortSignal;
  readonly tracer: Tracer;
  readonly log: Log;
}

export function jobsService(parts: JobsServiceParts): JobsHandlers {
  const { store, bus, volumes, volumeChecks, stopped, tracer, log } = parts;
  const places = new Places(MOST_WATCHES, 'watches');
  const message = (record: JobRecord) => recordMessage(record, store.campaignName(record.campaign));
  return {
    Submit: unary(log, 'Jobs.Submit', async (request, parent, signal) => {
      const { campaign, jobs, created } = await inSpan(tracer, 'submit', parent, (traceparent) =>
        submit({ store, objects: bus.objects, volumes, volumeChecks }, request, traceparent, signal),
      );
      return { campaignId: campaign.id, jobs: jobs.map((job) => recordMessage(job, campaign.name)), created };
    }),
    List: unary(log, 'Jobs.List', (request) => {
      const { jobs, nextPageToken } = store.list({
        ...checkPage(request.pageSize, request.pageToken),
        campaign: request.campaignId === '' ? null : checkId(request.campaignId),
        states: checkStates(request.states),
      });
      return { jobs: jobs.map((job) => summaryMessage(job, store.campaignName(job.campaign))), nextPageToken };
    }),
    Get: unary(log, 'Jobs.Get', async ({ id }) => message(await store.read(checkId(id)))),
    Watch: streaming<WatchRequest__Output, EventMessage>(log, 'Jobs.Watch', stopped, (call, signal) =>
      places.hold(() => {
        const { id, afterSequence, keptOnly } = call.request;
        const job = store.find(checkId(id));
        const after = checkSequence(afterSequence);
        return watchJob({ job, after, keptOnly, events: bus.events, store, call, signal });
      }),
    ),
    Cancel: unary(log, 'Jobs.Cancel', async ({ id }) => message(await store.cancel(checkId(id)))),
    Retry: unary(log, 'Jobs.Retry', async ({ id }) => message(await store.retry(checkId(id)))),
    Delete: unary(log, 'Jobs.Delete', async ({ id }) => {
      await store.delete(checkId(id));
      return {};
    }),
  };
}
