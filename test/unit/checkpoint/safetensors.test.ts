import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { readdir, readFile, stat, truncate, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import {
  decodeSafetensors,
  encodeSafetensors,
  openSafetensors,
  readTensorSync,
  writeSafetensors,
} from '../../../shared/safetensors.ts';
import type { NamedTensor } from '../../../shared/tensor.ts';
import { failure, fixture, temporaryFolder } from './model-folders.ts';

const TENSORS: NamedTensor[] = [
  { name: 'bytes', dtype: 'U8', shape: [3], data: Uint8Array.of(1, 2, 3) },
  { name: '7', dtype: 'F64', shape: [1, 2], data: Float64Array.of(Math.PI, -0) },
  { name: 'none', dtype: 'F32', shape: [0, 4], data: new Float32Array() },
  { name: 'scalar', dtype: 'I64', shape: [], data: BigInt64Array.of(-5n) },
  { name: 'ünï "quoted"', dtype: 'BF16', shape: [2], data: Uint16Array.of(0x3f80, 0xffff) },
  { name: 'half', dtype: 'F16', shape: [1], data: Uint16Array.of(0x3c00) },
  { name: 'ints', dtype: 'I32', shape: [2], data: Int32Array.of(-1, 2 ** 31 - 1) },
];

/** A file of the given header and data; the header is not checked. */
function file(header: unknown, dataBytes: number): Uint8Array {
  const json = new TextEncoder().encode(typeof header === 'string' ? header : JSON.stringify(header));
  const bytes = new Uint8Array(8 + json.length + dataBytes);
  new DataView(bytes.buffer).setBigUint64(0, BigInt(json.length), true);
  bytes.set(json, 8);
  return bytes;
}

const f32 = (shape: unknown, begin: unknown, end: unknown) => ({ dtype: 'F32', shape, data_offsets: [begin, end] });

describe('safetensors', () => {
  it('gives back what was encoded, at any byte offset', () => {
    const bytes = encodeSafetensors(TENSORS, { format: 'pt' });
    const shifted = new Uint8Array(bytes.length + 1).fill(0).subarray(1);
    shifted.set(bytes);
    for (const copy of [bytes, shifted]) {
      const { tensors, metadata } = decodeSafetensors(copy, 'x');
      assert.deepEqual(metadata, { format: 'pt' });
      assert.equal(tensors.size, TENSORS.length);
      for (const tensor of TENSORS) assert.deepEqual(tensors.get(tensor.name), tensor);
    }
  });

  it('pads the header to 8 bytes and aligns every tensor, so that decoding copies nothing', () => {
    const bytes = encodeSafetensors(TENSORS);
    assert.equal(new DataView(bytes.buffer).getBigUint64(0, true) % 8n, 0n);
    for (const { data } of decodeSafetensors(bytes, 'x').tensors.values())
      if (data.length > 0) assert.equal(data.buffer, bytes.buffer);
  });

  it('writes the same bytes to a file and says their SHA-256', async (test) => {
    const path = join(await temporaryFolder(test), 'a.safetensors');
    const sources = TENSORS.map(({ data, ...rest }) => ({
      ...rest,
      read: () => new Uint8Array(data.buffer, data.byteOffset, data.byteLength),
    }));
    const { sha256, bytes } = await writeSafetensors(path, sources, { format: 'pt' });
    const written = await readFile(path);
    assert.deepEqual(new Uint8Array(written), encodeSafetensors(TENSORS, { format: 'pt' }));
    assert.equal(bytes, written.length);
    assert.equal(sha256, createHash('sha256').update(written).digest('hex'));
  });

  it('leaves no file behind when a tensor cannot be read', async (test) => {
    const folder = await temporaryFolder(test);
    const read = () => Promise.reject(new Error('gone'));
    const source = { name: 'a', dtype: 'F32', shape: [1], read } as const;
    await assert.rejects(writeSafetensors(join(folder, 'a'), [source]), /gone/);
    const short = { ...source, read: () => new Uint8Array(3) };
    await assert.rejects(
      writeSafetensors(join(folder, 'a'), [short]),
      failure('internal', 'a: got 3 bytes, expected 4'),
    );
    assert.deepEqual(await readdir(folder), []);
  });

  it('refuses to write two tensors of one name', () => {
    assert.throws(() => encodeSafetensors([TENSORS[0], TENSORS[0]]), failure('internal', 'bytes: got'));
  });

  it('reads tensors of a file one by one', async (test) => {
    const path = join(await temporaryFolder(test), 'a.safetensors');
    await writeFile(path, encodeSafetensors(TENSORS));
    const opened = await openSafetensors(path);
    test.after(() => opened.close());
    const entry = opened.entries.get('ints')!;
    assert.deepEqual(await entry.read(), entry.readSync());
    assert.deepEqual(new Int32Array((await entry.read()).buffer), Int32Array.of(-1, 2 ** 31 - 1));
    const part = new Uint8Array(4);
    await entry.readInto(part, 4);
    assert.deepEqual(part, Uint8Array.of(255, 255, 255, 127));
    assert.equal(opened.entries.get('none')!.readSync().length, 0);
    const whole = new Uint8Array(8);
    entry.readIntoSync(whole);
    assert.deepEqual(whole, await entry.read());
    assert.throws(() => entry.readIntoSync(part), failure('internal', 'ints: got 4 bytes to fill, expected 8'));
  });

  it('reads a part of a tensor at once', async (test) => {
    const path = join(await temporaryFolder(test), 'a.safetensors');
    await writeFile(path, encodeSafetensors(TENSORS));
    const second = ({ begin }: { readonly begin: number }) => ({ begin: begin + 4, bytes: 4 });
    const part = readTensorSync(path, 'a', 'ints', (entry) => second(entry!));
    assert.deepEqual(part, Uint8Array.of(255, 255, 255, 127));
    readTensorSync(path, 'a', 'other', (entry) => {
      assert.equal(entry, undefined);
      return { begin: 0, bytes: 0 };
    });
    const bytes = (await stat(path)).size;
    const beyond = () => readTensorSync(path, 'a', 'ints', () => ({ begin: bytes - 1, bytes: 4 }));
    assert.throws(beyond, failure('model_format', 'a: ints: got 1 bytes, expected 4'));
    await truncate(path, 9);
    assert.throws(
      () => readTensorSync(path, 'a', 'ints', (entry) => entry!),
      failure('model_format', 'a: got a header'),
    );
  });

  it('notices a file that shrinks after it was opened', async (test) => {
    const path = join(await temporaryFolder(test), 'a.safetensors');
    const bytes = encodeSafetensors([{ name: 'a', dtype: 'F32', shape: [4], data: new Float32Array(4) }]);
    await writeFile(path, bytes);
    const opened = await openSafetensors(path, 'a.safetensors');
    test.after(() => opened.close());
    await truncate(path, bytes.length - 4);
    const expected = failure('model_format', 'a.safetensors: a: got 12 bytes, expected 16');
    await assert.rejects(opened.entries.get('a')!.read(), expected);
    assert.throws(() => opened.entries.get('a')!.readSync(), expected);
  });

  it('reads what the safetensors library wrote', async () => {
    const path = join(fixture('hf-bert-classification'), 'model.safetensors');
    const { tensors, metadata } = decodeSafetensors(await readFile(path), path);
    assert.deepEqual(metadata, { format: 'pt' });
    assert.deepEqual(tensors.get('classifier.weight')?.shape, [3, 24]);
  });

  const bad: [string, Uint8Array, string][] = [
    ['an empty file', new Uint8Array(0), 'f: got 0 bytes, expected a header of at least 8'],
    ['a length beyond the file', file('{}', 0).subarray(0, 9), 'f: got a header of 2 bytes, expected at most 1'],
    [
      'a length of 2^63',
      Uint8Array.of(0, 0, 0, 0, 0, 0, 0, 128, 123, 125),
      'got a header of 9223372036854775808 bytes, expected at most 2',
    ],
    ['a header that is no JSON', file('{"a":', 0), 'f: got a header that is no JSON'],
    ['a header that is not UTF-8', Uint8Array.of(1, 0, 0, 0, 0, 0, 0, 0, 0xff), 'f: got a header that is no JSON'],
    ['a header that is an array', file('[]', 0), 'f: got a header that is no JSON object'],
    ['metadata that is no text', file({ __metadata__: { a: 1 } }, 0), 'f: __metadata__: got {"a":1}'],
    ['an entry that is no object', file({ a: 3 }, 0), 'f: a: got dtype none, expected one of F64, F32'],
    [
      'an unknown dtype',
      file({ a: { dtype: 'F8_E4M3', shape: [1], data_offsets: [0, 1] } }, 1),
      'f: a: got dtype "F8_E4M3", expected one of F64, F32, F16, BF16, I32, I64, U8, I16, I8, BOOL',
    ],
    ['a negative size', file({ a: f32([-1], 0, 4) }, 4), 'f: a: got shape [-1], expected whole numbers'],
    ['a fractional size', file({ a: f32([1.5], 0, 6) }, 6), 'f: a: got shape [1.5]'],
    ['a size beyond 2^53', file({ a: f32([2 ** 60], 0, 4) }, 4), 'f: a: got shape [1152921504606847000]'],
    ['sizes whose product overflows', file({ a: f32([2 ** 30, 2 ** 30], 0, 4) }, 4), 'f: a: got 4 bytes, expected'],
    ['a missing shape', file({ a: { dtype: 'F32', data_offsets: [0, 4] } }, 4), 'f: a: got shape none'],
    [
      'offsets that go backwards',
      file({ a: f32([1], 4, 0) }, 4),
      'f: a: got data_offsets [4,0], expected [begin, end]',
    ],
    ['one offset', file({ a: { dtype: 'F32', shape: [], data_offsets: [0] } }, 4), 'f: a: got data_offsets [0]'],
    ['a size that is not the shape’s', file({ a: f32([2], 0, 4) }, 4), 'f: a: got 4 bytes, expected 8 for F32 [2]'],
    [
      'data that is cut short',
      file({ a: f32([2], 0, 8) }, 7),
      'f: a: got data_offsets [0,8], expected at most 7; the file is cut short',
    ],
    [
      'an overlap',
      file({ a: f32([2], 0, 8), b: f32([1], 4, 8) }, 8),
      'f: b: got an overlap with another tensor, begin 4',
    ],
    ['the same place twice', file({ a: f32([1], 0, 4), b: f32([1], 0, 4) }, 4), 'f: b: got an overlap'],
    [
      'a gap',
      file({ a: f32([1], 0, 4), b: f32([1], 8, 12) }, 12),
      'f: b: got a gap before it, begin 8, expected begin 4',
    ],
    ['a gap at the start', file({ a: f32([1], 4, 8) }, 8), 'f: a: got a gap before it'],
    ['bytes after the last tensor', file({ a: f32([1], 0, 4) }, 6), 'f: got 6 bytes of data, expected the 4'],
  ];
  for (const [what, bytes, text] of bad)
    it(`refuses ${what}`, async (test) => {
      assert.throws(() => decodeSafetensors(bytes, 'f'), failure('model_format', text));
      const path = join(await temporaryFolder(test), 'f');
      await writeFile(path, bytes);
      await assert.rejects(openSafetensors(path, 'f'), failure('model_format', text));
    });

  it('reads types that Espalier does not compute with as bytes only', async (test) => {
    const bytes = file({ a: { dtype: 'BOOL', shape: [2], data_offsets: [0, 2] } }, 2);
    assert.throws(() => decodeSafetensors(bytes, 'f'), failure('model_format', 'f: a: got BOOL'));
    const path = join(await temporaryFolder(test), 'f');
    await writeFile(path, bytes);
    const opened = await openSafetensors(path);
    test.after(() => opened.close());
    assert.deepEqual(await opened.entries.get('a')!.read(), new Uint8Array(2));
  });

  it('meets any changed byte of a header with an answer or an error of its own', () => {
    const original = encodeSafetensors(TENSORS, { format: 'pt' });
    const headerEnd = 8 + Number(new DataView(original.buffer).getBigUint64(0, true));
    let refused = 0;
    for (let at = 0; at < headerEnd; at++)
      for (const flip of [0x01, 0x10, 0x80]) {
        const bytes = original.slice();
        bytes[at] ^= flip;
        try {
          decodeSafetensors(bytes, 'f');
        } catch (error) {
          failure('model_format', 'f: ')(error);
          refused++;
        }
      }
    assert.ok(refused > headerEnd, `${refused} of ${3 * headerEnd} refused`);
  });
});
