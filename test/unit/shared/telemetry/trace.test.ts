// Trace contexts: what of any origin is read, and what is not.
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { SILENT_LOG } from '../../../../shared/log.ts';
import { callContextOf, callMetadata, contextFields, NO_CONTEXT } from '../../../../shared/rpc/trace-metadata.ts';
import { openTracer } from '../../../../shared/telemetry/open-tracer.ts';
import {
  formatTraceparent,
  NO_TRACER,
  newTraceContext,
  parseTraceparent,
  traceFields,
} from '../../../../shared/telemetry/trace.ts';

// The example of the W3C recommendation.
const EXAMPLE = '00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01';
const TRACE = '4bf92f3577b34da6a3ce929d0e0e4736';
const SPAN = '00f067aa0ba902b7';

describe('traceparent', () => {
  it('is read and written', () => {
    const context = parseTraceparent(EXAMPLE);
    assert.deepEqual(context, { traceId: TRACE, spanId: SPAN, sampled: true });
    assert.equal(formatTraceparent(context!), EXAMPLE);
    assert.equal(parseTraceparent(EXAMPLE.replace(/01$/, '00'))?.sampled, false);
    // Of the flags only the first is known.
    assert.equal(parseTraceparent(EXAMPLE.replace(/01$/, 'ff'))?.sampled, true);
  });

  it('of a later version may have more parts', () => {
    assert.equal(parseTraceparent(`01-${TRACE}-${SPAN}-01-what-the-future-holds`)?.traceId, TRACE);
    assert.equal(parseTraceparent(`01-${TRACE}-${SPAN}-01.what`), null);
  });

  const malformed: readonly [what: string, text: unknown][] = [
    ['nothing', undefined],
    ['null', null],
    ['a number', 7],
    ['empty', ''],
    ['words', 'a trace'],
    ['upper case', EXAMPLE.toUpperCase()],
    ['an id of zeros', `00-${'0'.repeat(32)}-${SPAN}-01`],
    ['a span of zeros', `00-${TRACE}-${'0'.repeat(16)}-01`],
    ['a short id', `00-${TRACE.slice(1)}-${SPAN}-01`],
    ['version ff', `ff-${TRACE}-${SPAN}-01`],
    ['version 00 with more', `${EXAMPLE}-more`],
    ['spaces around', ` ${EXAMPLE}`],
    ['a line end', `${EXAMPLE}\n`],
    ['more than anyone sends', `01-${TRACE}-${SPAN}-01-${'x'.repeat(300)}`],
  ];
  for (const [what, text] of malformed) it(`is refused: ${what}`, () => assert.equal(parseTraceparent(text), null));

  it('of a new trace is another each time', () => {
    const [first, second] = [newTraceContext(), newTraceContext()];
    assert.deepEqual(parseTraceparent(formatTraceparent(first)), first);
    assert.notEqual(first.traceId, second.traceId);
  });

  it('names the trace in logs', () => {
    assert.deepEqual(traceFields(EXAMPLE), { trace: TRACE });
    assert.deepEqual(traceFields('nonsense'), {});
    assert.deepEqual(traceFields(null), {});
  });
});

describe('metadata', () => {
  const context = { traceparent: EXAMPLE, job: '0123456789abcdef', attempt: 3 };

  it('carries a context, and what is not known not at all', () => {
    assert.deepEqual(callContextOf(callMetadata(context)), context);
    assert.deepEqual(callMetadata(NO_CONTEXT).getMap(), {});
    assert.deepEqual(callContextOf(callMetadata(NO_CONTEXT)), NO_CONTEXT);
    assert.deepEqual(contextFields(context), { job: '0123456789abcdef', attempt: 3, trace: TRACE });
    assert.deepEqual(contextFields(NO_CONTEXT), {});
  });

  it('that does not look right is taken for not there', () => {
    const sent = callMetadata(NO_CONTEXT);
    sent.set('traceparent', 'nonsense');
    sent.set('espalier-job', '../../etc/passwd');
    sent.set('espalier-attempt', '1e9');
    assert.deepEqual(callContextOf(sent), NO_CONTEXT);
    assert.deepEqual(callMetadata({ ...NO_CONTEXT, traceparent: 'nonsense' }).getMap(), {});
  });
});

describe('without an endpoint', () => {
  it('nothing is traced and contexts are passed on', async () => {
    const settings = { endpoint: null, process: 'worker', instance: '1', version: '1', log: SILENT_LOG };
    const tracer = await openTracer(settings);
    assert.equal(tracer, NO_TRACER);
    const span = tracer.start('task', { parent: EXAMPLE });
    assert.equal(span.traceparent, EXAMPLE);
    span.set({ a: 1 });
    span.end(new Error('also a failed one'));
    assert.equal(tracer.start('task', { parent: 'nonsense' }).traceparent, null);
    assert.equal(tracer.start('task', { parent: null }).traceparent, null);
    await tracer.close();
  });
});
