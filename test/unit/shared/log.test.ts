// What a log line holds, and what it never holds.
import assert from 'node:assert/strict';
import { generateKeyPairSync } from 'node:crypto';
import { describe, it } from 'node:test';
import { EspalierError } from '../../../shared/errors.ts';
import { createLog, type Log } from '../../../shared/log.ts';

function recorded(): { log: Log; lines: string[]; last: () => Record<string, unknown> } {
  const lines: string[] = [];
  return {
    log: createLog({ process: 'worker' }, (line) => lines.push(line)),
    lines,
    last: () => JSON.parse(lines.at(-1)!),
  };
}

describe('a log', () => {
  it('writes one JSON line with message and fields, those of a child as well', () => {
    const { log, lines, last } = recorded();
    const child = log.child({ job: '0123', attempt: 2 }).child({ task: 'fisher/3' });
    child.warning('task failed', { seconds: 1.5, error: new EspalierError('deadline', 'too late') });
    const { time, ...rest } = last();
    assert.ok(!Number.isNaN(Date.parse(String(time))));
    assert.deepEqual(rest, {
      level: 'warning',
      message: 'task failed',
      process: 'worker',
      job: '0123',
      attempt: 2,
      task: 'fisher/3',
      seconds: 1.5,
      error: { code: 'deadline', message: 'too late' },
    });
    log.info('serving\nnow');
    assert.equal(lines.at(-1)!.indexOf('\n'), lines.at(-1)!.length - 1);
    assert.equal('job' in last(), false);
  });

  it('writes a line whatever it is given', () => {
    const { log, lines, last } = recorded();
    const circle: Record<string, unknown> = {};
    circle.self = circle;
    log.error('odd', { circle });
    assert.deepEqual([last().message, last().fields], ['odd', 'not writable']);
    log.info('odd', { count: 12n, bytes: new Uint8Array(3), buffer: Buffer.from('abc'), plain: new TypeError('x') });
    const { count, bytes, buffer, plain } = last();
    assert.deepEqual(
      [count, bytes, buffer, plain],
      ['12', '[3 bytes]', '[3 bytes]', { name: 'TypeError', message: 'x' }],
    );
    log.info('long', { text: 'x'.repeat(100_000) });
    assert.ok(lines.at(-1)!.length < 5000);
  });
});

describe('secrets', () => {
  const pem = generateKeyPairSync('ec', {
    namedCurve: 'P-256',
    publicKeyEncoding: { type: 'spki', format: 'pem' },
    privateKeyEncoding: { type: 'pkcs8', format: 'pem' },
  });
  const body = pem.privateKey.split('\n')[1];
  const seed = `SU${'A2B3C4D5'.repeat(7)}`;
  const jwt = `eyJ0eXAiOiJKV1QiLCJhbGciOiJlZDI1NTE5LW5rZXkifQ.eyJqdGkiOiJB.c2lnbmF0dXJl`;
  const creds = `-----BEGIN NATS USER JWT-----\n${jwt}\n------END NATS USER JWT------\n${seed}\n`;
  const cases: readonly [what: string, text: string, secret: string][] = [
    ['a private key', `cannot parse: ${pem.privateKey}`, body],
    ['a private key that is cut off', `got ${pem.privateKey.slice(0, 120)}`, body.slice(0, 40)],
    ['a private key in JSON', JSON.stringify({ key: pem.privateKey }), body.slice(0, 40)],
    ['the seed of an NKEY', `expected a file, got ${seed}`, seed],
    ['a credentials file, JWT', creds, jwt],
    ['a credentials file, seed', creds, seed],
    ['a password in an address', 'connect nats://anna:hunter2@one:4222,nats://b:hunter2@two', 'hunter2'],
    ['a token in an address', 'connect nats://hunter2token@one:4222', 'hunter2token'],
    ['a bearer token', 'authorization: Bearer hunter2hunter2', 'hunter2hunter2'],
  ];
  for (const [what, text, secret] of cases)
    it(`are hidden wherever they stand: ${what}`, () => {
      assert.ok(text.includes(secret), 'the control');
      const { log, lines } = recorded();
      log.error(text);
      log.error('field', { text });
      log.error('deep', { list: [{ text }] });
      log.error('error', { error: new Error(text) });
      log.error('ours', { error: new EspalierError('tls', text) });
      log.error('bytes', { bytes: Buffer.from(text) });
      log.child({ text }).error('child');
      for (const line of lines) assert.ok(!line.includes(secret), line);
      // JSON escapes the ends of lines.
      assert.doesNotMatch(lines.join(''), /PRIVATE KEY/);
    });

  it('do not take harmless words along', () => {
    const { log, last } = recorded();
    const text = 'see https://example.com/a@b and 10.0.0.1:4222, basic auth, SUNDAY, -----BEGIN CERTIFICATE-----';
    log.info('harmless', { text });
    assert.equal(last().text, text);
  });
});
