// Addresses of processes: what is one, wherever it comes from (flags, settings, heartbeats), and passwords in those of NATS.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { withoutPassword } from '../../../shared/redact.ts';
import { hostOf, isAddress } from '../../../shared/rpc/address.ts';
import { hostAndPort } from '../../../shared/setting-checks.ts';

test('host:port is an address, with an IPv6 address in brackets', () => {
  const hosts = { '10.0.0.7:7077': '10.0.0.7', 'gpu-7.example.:1': 'gpu-7.example.', 'my_worker:65535': 'my_worker' };
  for (const [address, host] of Object.entries({ ...hosts, '[fe80::1]:7077': 'fe80::1' })) {
    assert.ok(isAddress(address), address);
    assert.equal(hostOf(address), host);
    assert.equal(hostAndPort(address), null);
    assert.equal(hostAndPort(address.slice(0, address.lastIndexOf(':'))), null, 'a host alone, where it may be');
  }
});

test('what is none is refused', () => {
  const wrong = ['', 'gpu', 'gpu:0', 'gpu:65536', 'gpu:07077', ':7077', 'a b:1', 'unix:/tmp/socket', 'dns:///x:1'];
  for (const text of [...wrong, '::1:7077', '[::1]', '-gpu:1', `${'a'.repeat(254)}:1`, 'gpu:1\n'])
    assert.ok(!isAddress(text), JSON.stringify(text));
  for (const text of ['', 'gpu:0', 'a b', 'gpu:65536']) assert.equal(hostAndPort(text), 'HOST or HOST:PORT', text);
});

test('addresses are shown without passwords', () => {
  const text = 'nats://me:pass@word/x@a:4222,tls://b:4222,nats://:secret@[::1]:4222';
  assert.equal(withoutPassword(text), 'nats://…@a:4222,tls://b:4222,nats://…@[::1]:4222');
});
