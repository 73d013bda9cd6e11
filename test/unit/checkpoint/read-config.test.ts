import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { readModelConfig } from '../../../checkpoint/read-config.ts';
import type { ErrorCode } from '../../../shared/errors.ts';
import { failure } from './model-folders.ts';

const BERT = {
  model_type: 'bert',
  architectures: ['BertForSequenceClassification'],
  hidden_size: 24,
  num_attention_heads: 3,
  num_hidden_layers: 2,
  intermediate_size: 40,
  vocab_size: 61,
  max_position_embeddings: 34,
};
const DISTILBERT = {
  model_type: 'distilbert',
  architectures: ['DistilBertForSequenceClassification'],
  dim: 24,
  n_heads: 3,
  n_layers: 2,
  hidden_dim: 40,
  activation: 'relu',
  vocab_size: 61,
  max_position_embeddings: 34,
};

function read(base: object, changes: object = {}) {
  return readModelConfig(JSON.stringify({ ...base, ...changes }), 'config.json');
}

describe('readModelConfig', () => {
  it('fills what a config leaves out with the defaults of transformers', () => {
    const { raw, ...config } = read(BERT);
    assert.deepEqual(raw, BERT);
    assert.deepEqual(config, {
      modelType: 'bert',
      task: 'single-label-classification',
      layers: 2,
      hiddenSize: 24,
      heads: 3,
      headSize: 8,
      intermediateSize: 40,
      headsByLayer: [3, 3],
      neuronsByLayer: [40, 40],
      activation: 'gelu',
      layerNormEps: 1e-12,
      vocabularySize: 61,
      maxTokens: 34,
      positionOffset: 0,
      typeVocabularySize: 2,
      padTokenId: 0,
      outputs: 2,
      labels: ['LABEL_0', 'LABEL_1'],
    });
  });

  it('reads DistilBERT’s own field names; it has no token types', () => {
    const config = read(DISTILBERT);
    assert.deepEqual(
      [config.hiddenSize, config.heads, config.layers, config.intermediateSize, config.activation],
      [24, 3, 2, 40, 'relu'],
    );
    assert.deepEqual([config.typeVocabularySize, config.layerNormEps], [0, 1e-12]);
  });

  for (const [modelType, prefix] of [
    ['roberta', 'Roberta'],
    ['xlm-roberta', 'XLMRoberta'],
    ['camembert', 'Camembert'],
  ])
    it(`starts the positions of ${modelType} after the padding id`, () => {
      const config = read(BERT, { model_type: modelType, architectures: [`${prefix}ForTokenClassification`] });
      assert.deepEqual([config.padTokenId, config.positionOffset, config.maxTokens], [1, 2, 32]);
    });

  const tasks: [string, string, object, string, number][] = [
    ['one label', 'SequenceClassification', { num_labels: 1 }, 'regression', 1],
    ['two targets', 'SequenceClassification', { problem_type: 'regression' }, 'regression', 2],
    [
      'several labels at once',
      'SequenceClassification',
      { problem_type: 'multi_label_classification', id2label: { 0: 'a', 1: 'b', 2: 'c' } },
      'multi-label-classification',
      3,
    ],
    [
      'one of four labels',
      'SequenceClassification',
      { problem_type: null, num_labels: 4 },
      'single-label-classification',
      4,
    ],
    ['labels of tokens', 'TokenClassification', { num_labels: 9 }, 'token-classification', 9],
    ['answers', 'QuestionAnswering', {}, 'question-answering', 2],
  ];
  for (const [what, head, changes, task, outputs] of tasks)
    it(`reads a head for ${what}`, () => {
      const config = read(BERT, { architectures: [`BertFor${head}`], ...changes });
      assert.deepEqual([config.task, config.outputs], [task, outputs]);
      assert.equal(config.labels.length, task === 'question-answering' ? 0 : outputs);
    });

  it('orders labels by their id', () => {
    const labels = Object.fromEntries(Array.from({ length: 12 }, (_, id) => [String(11 - id), `name ${11 - id}`]));
    assert.deepEqual(
      read(BERT, { id2label: labels }).labels,
      Array.from({ length: 12 }, (_, id) => `name ${id}`),
    );
  });

  for (const [name, activation] of [
    ['gelu', 'gelu'],
    ['gelu_new', 'gelu-tanh'],
    ['gelu_pytorch_tanh', 'gelu-tanh'],
    ['gelu_fast', 'gelu-tanh'],
    ['relu', 'relu'],
  ])
    it(`knows ${name}`, () => assert.equal(read(BERT, { hidden_act: name }).activation, activation));

  it('takes kept heads and neurons from the espalier key, 0 included', () => {
    const config = read(BERT, { espalier: { schema: 1, head_size: 8, heads: [0, 3], neurons: [40, 0] } });
    assert.deepEqual(
      [config.headsByLayer, config.neuronsByLayer],
      [
        [0, 3],
        [40, 0],
      ],
    );
    assert.deepEqual([config.heads, config.intermediateSize], [3, 40]);
  });

  const pruned = { schema: 1, head_size: 8, heads: [1, 2], neurons: [3, 4] };
  const bad: [string, object, ErrorCode, ...string[]][] = [
    [
      'another architecture',
      { model_type: 'gpt2' },
      'model_unsupported',
      'model_type: got "gpt2", expected one of bert',
    ],
    ['a name of Object.prototype', { model_type: 'toString' }, 'model_unsupported', 'got "toString"'],
    [
      'another head',
      { architectures: ['BertForMaskedLM'] },
      'model_unsupported',
      'architectures: got ["BertForMaskedLM"], expected one of BertForSequenceClassification, BertForTokenClassification',
    ],
    [
      'a class of another architecture',
      { architectures: ['RobertaForSequenceClassification'] },
      'model_unsupported',
      'expected one of BertFor',
    ],
    ['no class', { architectures: undefined }, 'model_unsupported', 'architectures: got none'],
    ['an activation', { hidden_act: 'silu' }, 'model_unsupported', 'hidden_act: got "silu", expected one of gelu'],
    ['a decoder', { is_decoder: true }, 'model_unsupported', 'is_decoder: got true, expected false'],
    ['cross attention', { add_cross_attention: true }, 'model_unsupported', 'add_cross_attention: got true'],
    [
      'relative positions',
      { position_embedding_type: 'relative_key' },
      'model_unsupported',
      'position_embedding_type: got "relative_key", expected "absolute"',
    ],
    ['heads pruned elsewhere', { pruned_heads: { 0: [1] } }, 'model_unsupported', 'pruned_heads: got {"0":[1]}'],
    ['quantized weights', { quantization_config: { bits: 4 } }, 'model_unsupported', 'quantization_config'],
    ['a head size that is no whole number', { num_attention_heads: 5 }, 'model_format', 'num_attention_heads: got 5'],
    ['no heads', { num_attention_heads: 0 }, 'model_format', 'got 0, expected a whole number from 1'],
    ['half a layer', { num_hidden_layers: 1.5 }, 'model_format', 'num_hidden_layers: got 1.5'],
    ['too many layers', { num_hidden_layers: 1e9 }, 'model_format', 'expected a whole number from 1 to 1000'],
    ['a size as text', { hidden_size: '24' }, 'model_format', 'hidden_size: got "24"'],
    ['a missing size', { vocab_size: undefined }, 'model_format', 'vocab_size: got none'],
    ['an epsilon of 0', { layer_norm_eps: 0 }, 'model_format', 'layer_norm_eps: got 0'],
    [
      'a gap in the labels',
      { id2label: { 0: 'a', 2: 'b' } },
      'model_format',
      'id2label: got {"2":"b"}, expected ids 0 to 1',
    ],
    ['no labels', { id2label: {} }, 'model_format', 'id2label: got {}'],
    [
      'two counts of labels',
      { id2label: { 0: 'a', 1: 'b' }, num_labels: 3 },
      'model_format',
      'num_labels: got 3, expected 2',
    ],
    ['one class', { num_labels: 1, problem_type: 'single_label_classification' }, 'model_format', 'with 1 label'],
    ['an unknown problem', { problem_type: 'ranking' }, 'model_format', 'problem_type: got "ranking"'],
    [
      'three outputs for answers',
      { architectures: ['BertForQuestionAnswering'], num_labels: 3 },
      'model_unsupported',
      'num_labels: got 3, expected 2 (start and end)',
    ],
    [
      'a later schema',
      { espalier: { ...pruned, schema: 2 } },
      'model_unsupported',
      'espalier.schema: got 2, expected 1',
    ],
    [
      'another head size',
      { espalier: { ...pruned, head_size: 4 } },
      'model_format',
      'espalier.head_size: got 4, expected 8',
    ],
    [
      'more heads than there were',
      { espalier: { ...pruned, heads: [1, 4] } },
      'model_format',
      'espalier.heads: got [1,4]',
    ],
    [
      'counts for another number of layers',
      { espalier: { ...pruned, neurons: [1] } },
      'model_format',
      'espalier.neurons: got [1], expected 2 whole numbers from 0 to 40',
    ],
    ['an empty espalier key', { espalier: null }, 'model_format', 'espalier.heads: got none'],
    [
      'several at once',
      { hidden_act: 'silu', vocab_size: -1, is_decoder: true },
      'model_format',
      'config.json: vocab_size: got -1',
      'config.json: hidden_act: got "silu"',
      'config.json: is_decoder',
    ],
  ];
  for (const [what, changes, code, ...texts] of bad)
    it(`refuses ${what}`, () => assert.throws(() => read(BERT, changes), failure(code, ...texts)));

  it('refuses RoBERTa with no position left', () => {
    const roberta = { model_type: 'roberta', architectures: ['RobertaForTokenClassification'] };
    assert.throws(
      () => read(BERT, { ...roberta, max_position_embeddings: 2 }),
      failure('model_format', 'max_position_embeddings: got 2, expected more than 2'),
    );
  });

  it('refuses text that is no JSON object', () => {
    assert.throws(() => readModelConfig('{', 'c'), failure('model_format', 'c: got no JSON'));
    assert.throws(() => readModelConfig('[]', 'c'), failure('model_format', 'c: got JSON that is no object'));
  });
});
