// Names of patches that were fitted here, until and after their digests are known.
import assert from 'node:assert/strict';
import test from 'node:test';
import { FittedNames } from '../../../worker/model/fitted-names.ts';

test('a digest stands for the name of the patch that was fitted last with it; any other for itself', () => {
  const names = new FittedNames();
  const [first, second] = [names.next(), names.next()];
  assert.notEqual(first, second);
  names.known(first, 'digest');
  assert.equal(names.of('digest'), first);
  names.known(second, 'digest');
  assert.equal(names.of('digest'), second);
  assert.equal(names.of('another'), 'another');
});

test('the oldest names are forgotten', () => {
  const names = new FittedNames();
  for (let i = 0; i <= 1024; i++) names.known(names.next(), `digest ${i}`);
  assert.equal(names.of('digest 0'), 'digest 0');
  assert.equal(names.of('digest 1'), 'fitted 2');
  assert.equal(names.of('digest 1024'), 'fitted 1025');
});
