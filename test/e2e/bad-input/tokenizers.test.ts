// Mistakes in tokenizers: one clear line, its exit code, and nothing is written.
import { readFile, rm, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { describeMistakes } from '../../support/mistakes.ts';
import { openWorkspace } from '../../support/run-cli.ts';

const workspace = await openWorkspace();

describeMistakes(workspace, 'tokenizers', {
  none: { code: 'model_not_found', model: (folder) => rm(path.join(folder, 'vocab.txt')), texts: ['tokenizer.json'] },
  'of another model': {
    code: 'tokenizer_format',
    model: async (folder) => {
      const vocabulary = await readFile(path.join(folder, 'vocab.txt'), 'utf8');
      await writeFile(path.join(folder, 'vocab.txt'), `${vocabulary}more\n`);
    },
    texts: ['vocab.txt: got token id 61, expected ids below 61', 'use the tokenizer that belongs to this model'],
  },
  'no JSON': {
    code: 'tokenizer_format',
    model: (folder) => writeFile(path.join(folder, 'tokenizer.json'), '{"model":'),
    texts: ['tokenizer.json'],
  },
  'no special tokens': {
    code: 'tokenizer_format',
    model: (folder) => writeFile(path.join(folder, 'vocab.txt'), 'ba\nbe\n'),
    texts: ['vocab.txt: got 2 tokens without [UNK]'],
  },
});
