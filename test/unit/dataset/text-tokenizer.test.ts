import assert from 'node:assert/strict';
import { cp, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import type { ModelConfig } from '../../../checkpoint/model-config.ts';
import { loadTextTokenizer } from '../../../dataset/text-tokenizer.ts';
import { idsOf, smallConfig, smallTokenizer, VOCABULARY } from './small-tokenizer.ts';
import { failsWith, temporaryFolder } from './temporary-folder.ts';

// Made by make-tokenizers.py in this folder with Hugging Face tokenizers 0.23.3.
const FIXTURES = join(import.meta.dirname, '../../../../test/fixtures/tokenizers');

interface Expected {
  readonly texts: readonly { text: string; ids: number[]; offsets: [number, number][] }[];
  readonly pairs: readonly { texts: [number, number]; maxTokens: number; ids: number[]; typeIds: number[] }[];
}

const expected = JSON.parse(await readFile(join(FIXTURES, 'expected.json'), 'utf8')) as Record<string, Expected>;
const KINDS: readonly [name: string, config: Partial<ModelConfig>, space: RegExp][] = [
  ['wordpiece', { modelType: 'bert' }, /\s/],
  ['byte-level-bpe', { modelType: 'roberta', typeVocabularySize: 1 }, / /],
  ['unigram', { modelType: 'xlm-roberta', typeVocabularySize: 1 }, /\s/],
];

for (const [name, config, space] of KINDS) {
  const load = () => loadTextTokenizer(join(FIXTURES, name), smallConfig({ vocabularySize: 500, ...config }));

  test(`${name}: ids are those of Hugging Face's tokenizers, offsets too but for spaces`, async () => {
    const tokenizer = await load();
    for (const { text, ids, offsets } of expected[name].texts) {
      const pieces = tokenizer.pieces(text);
      assert.deepEqual([...pieces.tokenIds], ids, text);
      assert.deepEqual([...tokenizer.tokenIds(text)], ids, text);
      offsets.forEach(([start, end], i) => {
        // A piece that is a space alone has no characters here; a mark that joins its letter belongs to the letter.
        if (pieces.starts[i] === pieces.ends[i] || text.includes('\u0301')) return;
        let first = start;
        while (first < end && space.test(text[first])) first++;
        assert.deepEqual([pieces.starts[i], pieces.ends[i]], [first, end], `${text}: piece ${i}`);
      });
      const starts = [...pieces.starts];
      assert.deepEqual(
        starts,
        starts.toSorted((a, b) => a - b),
      );
    }
  });

  test(`${name}: pairs are cut longest first, as Hugging Face's tokenizers cut them`, async () => {
    const tokenizer = await load();
    for (const { texts, maxTokens, ids, typeIds } of expected[name].pairs) {
      const [first, second] = texts.map((i) => expected[name].texts[i].text);
      const encoded = tokenizer.encode(first, second, maxTokens);
      assert.deepEqual([...encoded.tokenIds], ids, `${texts} to ${maxTokens}`);
      assert.deepEqual([...encoded.typeIds], typeIds);
      assert.equal(encoded.truncated, ids.length < tokenizer.encode(first, second, 1000).tokenIds.length);
    }
  });
}

test('offsets by hand: lower case, accents, unknown words, added tokens, long words', () => {
  const tokenizer = smallTokenizer();
  const spans = (text: string) => {
    const { tokenIds, starts, ends } = tokenizer.pieces(text);
    return [...tokenIds].map((id, i) => [VOCABULARY[id], text.slice(starts[i], ends[i])]);
  };
  assert.deepEqual(spans('Trees, CAFÉ.'), [
    ['tree', 'Tree'],
    ['##s', 's'],
    [',', ','],
    ['cafe', 'CAFÉ'],
    ['.', '.'],
  ]);
  assert.deepEqual(spans('xyz tree[MASK] zebra? [UNK]old'), [
    ['[UNK]', 'xyz'],
    ['tree', 'tree'],
    ['[MASK]', '[MASK]'],
    ['[UNK]', 'zebra'],
    ['?', '?'],
    ['[UNK]', '[UNK]'],
    ['old', 'old'],
  ]);
  assert.deepEqual(spans(`${'q'.repeat(101)} the`), [
    ['[UNK]', 'q'.repeat(101)],
    ['the', 'the'],
  ]);
  assert.deepEqual(spans('tr\u00adee\u200b wall'), [
    ['tree', 'tr\u00adee'],
    ['wall', 'wall'],
  ]);
});

test('one text is cut at its end, and an empty second text is still a pair', () => {
  const tokenizer = smallTokenizer();
  assert.deepEqual(tokenizer.encode('a b c d e', null, 5), {
    tokenIds: Int32Array.from(idsOf('[CLS]', 'a', 'b', 'c', '[SEP]')),
    typeIds: new Uint8Array(5),
    truncated: true,
  });
  assert.deepEqual(tokenizer.encode('a', '', 5), {
    tokenIds: Int32Array.from(idsOf('[CLS]', 'a', '[SEP]', '[SEP]')),
    typeIds: Uint8Array.of(0, 0, 0, 1),
    truncated: false,
  });
  assert.deepEqual([tokenizer.singleSpecials, tokenizer.pairSpecials], [2, 3]);
});

test('a model without token types gets zeros', () => {
  const tokenizer = smallTokenizer(smallConfig({ modelType: 'distilbert', typeVocabularySize: 0 }));
  assert.deepEqual([...tokenizer.encode('a', 'b', 8).typeIds], [0, 0, 0, 0, 0]);
});

test('vocab.txt alone serves BERT; tokenizer_config.json decides on case', async (t) => {
  const text = `${VOCABULARY.join('\r\n')}\r\n`;
  const folder = await temporaryFolder(t, { 'vocab.txt': text });
  assert.deepEqual([...(await loadTextTokenizer(folder, smallConfig())).tokenIds('TREE')], idsOf('tree'));
  const cased = await temporaryFolder(t, { 'vocab.txt': text, 'tokenizer_config.json': '{"do_lower_case": false}' });
  assert.deepEqual([...(await loadTextTokenizer(cased, smallConfig())).tokenIds('TREE')], idsOf('[UNK]'));
});

test('tokenizer_config.json wins over tokenizer.json; truncation and padding in it are ignored', async (t) => {
  const json = JSON.parse(await readFile(join(FIXTURES, 'wordpiece/tokenizer.json'), 'utf8'));
  json.truncation = { max_length: 3, strategy: 'LongestFirst', stride: 0, direction: 'Right' };
  json.padding = { strategy: { Fixed: 64 }, direction: 'Right', pad_id: 0, pad_type_id: 0, pad_token: '[PAD]' };
  const tokenizerJson = JSON.stringify(json);
  const folder = await temporaryFolder(t, { 'tokenizer.json': tokenizerJson });
  const config = smallConfig({ vocabularySize: 300 });
  const lower = [...(await loadTextTokenizer(folder, config)).tokenIds('The garden wall')];
  assert.equal(lower.length, 3);
  const cased = await temporaryFolder(t, {
    'tokenizer.json': tokenizerJson,
    'tokenizer_config.json': '{"do_lower_case": false}',
  });
  const [unknown, ...rest] = (await loadTextTokenizer(cased, config)).tokenIds('The garden wall');
  assert.deepEqual([unknown, rest], [1, lower.slice(1)]);
});

test('what is no tokenizer of this model is refused', async (t) => {
  const refused = async (files: Record<string, string>, code: 'model_not_found' | 'tokenizer_format', part: string) => {
    const folder = await temporaryFolder(t, files);
    await assert.rejects(loadTextTokenizer(folder, smallConfig()), failsWith(code, part));
  };
  await refused({}, 'model_not_found', 'tokenizer.json: not found');
  await refused({ 'tokenizer.json': '{' }, 'tokenizer_format', 'tokenizer.json: ');
  await refused({ 'tokenizer.json': '[]' }, 'tokenizer_format', 'got no JSON object');
  await refused({ 'tokenizer.json': '{"model": {}}' }, 'tokenizer_format', 'expected model.vocab');
  await refused({ 'vocab.txt': 'a\nb\n' }, 'tokenizer_format', 'vocab.txt: got 2 tokens without [UNK]');
  await refused(
    { 'vocab.txt': [...VOCABULARY, 'more'].join('\n') },
    'tokenizer_format',
    `got token id ${VOCABULARY.length}, expected ids below ${VOCABULARY.length} (vocab_size of config.json)`,
  );
  await refused(
    { 'tokenizer.json': '{"model": {"type": "WordPiece", "vocab": {"a": 0}}, "normalizer": {"type": "Odd"}}' },
    'tokenizer_format',
    'Unknown Normalizer type: Odd',
  );
  const roberta = await temporaryFolder(t, { 'vocab.txt': VOCABULARY.join('\n') });
  await assert.rejects(
    loadTextTokenizer(roberta, smallConfig({ modelType: 'roberta' })),
    failsWith('model_not_found', 'tokenizer.json: not found'),
  );
});

test('files that hold the same are read into a tokenizer once, others are not taken for them', async (test) => {
  const folder = await temporaryFolder(test);
  const config = smallConfig({ vocabularySize: 500, modelType: 'bert' });
  const [from, copy] = [join(FIXTURES, 'wordpiece'), join(folder, 'copy')];
  await cp(from, copy, { recursive: true });
  const tokenizer = await loadTextTokenizer(from, config);
  assert.equal(await loadTextTokenizer(copy, config), tokenizer);
  assert.notEqual(await loadTextTokenizer(copy, smallConfig({ ...config, typeVocabularySize: 1 })), tokenizer);
  await writeFile(join(copy, 'tokenizer_config.json'), '{"do_lower_case": false}');
  assert.notEqual(await loadTextTokenizer(copy, config), await loadTextTokenizer(from, config));
});
