// The count of floating point operations against one done by hand, product by product.
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { makePlan } from '../../../dataset/plan.ts';
import { encoderMacs } from '../../../pruning/cost.ts';
import {
  batchShapes,
  type FlopShape,
  forwardFlop,
  maskGradientFlop,
  normalEquationsFlop,
  refitFlop,
} from '../../bench/gpu/count-flop.ts';

// b = 2, n = 3, so 6 rows, 5 of them tokens. D = 4, d = 2.
const BATCH = { samples: 2, rows: 6, scores: 18, positions: 5 };
const shape = (heads: number[], neurons: number[], lastQueries: 'all' | 'first' = 'first'): FlopShape => ({
  ...{ hiddenSize: 4, headSize: 2, lastQueries },
  ...{ heads, neurons },
});

describe('floating point operations', () => {
  const model = shape([2, 1], [8, 3]);
  // Layer 0, width 4: query, key, value, output 4 x 2·6·4·4 = 768; scores and contexts 2 x 2·6·3·4 = 288;
  // FFN 2 x 2·6·4·8 = 768. Layer 1, width 2, 2 rows ask: query and output 2 x 2·2·4·2 = 64; key and value
  // 2 x 2·6·4·2 = 192; scores and contexts 2 x 2·2·3·2 = 48; FFN 2 x 2·2·4·3 = 96.
  const forward = 768 + 288 + 768 + (64 + 192 + 48 + 96);

  it('of a forward pass', () => {
    assert.equal(forwardFlop(model, [BATCH]), forward);
    assert.equal(forwardFlop(model, [BATCH, BATCH]), 2 * forward);
  });

  it('of mask gradients', () => {
    // Layer 1: FFN 96; context 2·2·4·2 = 32; values, probabilities, queries, keys 4 x 24 = 96; through the projection of
    // queries 32, of keys and values 192. Layer 0: FFN 768 and context 2·6·4·4 = 192 alone.
    assert.equal(maskGradientFlop(model, [BATCH]), forward + (96 + 32 + 96 + 32 + 192) + (768 + 192));
  });

  it('of normal equations', () => {
    const models = {
      dense: shape([2, 2], [8, 8]),
      teacher: shape([2, 1], [6, 4]),
      student: shape([1, 1], [4, 2]),
    };
    // Layer 0: attention of the teacher 768 + 288, of the student 4 x 96 + 2 x 72; dense FFN 2 x 384, student's activations
    // 192; teacher's output 2·6·4·6 = 288, student's 192; sums of the FFN at 5 positions 5·4·5 + 2·5·4·4.
    const first = 768 + 288 + (384 + 144) + 768 + 192 + 288 + 192 + (100 + 160);
    // Layer 1: attention of both on all 6 rows; FFN on 2 rows, dense 2 x 128, student's activations 32; sums of attention
    // at 5 positions 5·2·3 + 2·5·2·4, of the FFN at 2 first tokens 2·2·3 + 2·2·2·4.
    const last = 2 * (384 + 144) + 256 + 32 + (30 + 80) + (12 + 32);
    assert.equal(normalEquationsFlop(models, [BATCH]), first + last);
  });

  it('of normal equations where every token is read', () => {
    const one = { dense: shape([1], [2], 'all'), teacher: shape([1], [2], 'all'), student: shape([1], [1], 'all') };
    // Attention of both 2 x (384 + 144), never tuned in layer 0; dense FFN 2 x 96, student's activations 48; nothing
    // follows; sums at 5 positions 5·1·2 + 2·5·1·4.
    assert.equal(normalEquationsFlop(one, [BATCH]), 2 * (384 + 144) + 192 + 48 + (10 + 40));
  });

  it('of a refit', () => {
    // Layer 0: attention 768 + 288, FFN 768; at 5 positions sums of 4 features and a one, 5·5·6 + 2·5·5·4, and of 8 neurons,
    // 5·9·10 + 2·5·9·4. Layer 1: attention 64 + 192 + 48, the FFN's first product 48; at 2 first tokens 2·3·4 + 2·2·3·4 of 2
    // features, 2·4·5 + 2·2·4·4 of 3 neurons.
    const first = 768 + 288 + 768 + (150 + 200) + (450 + 360);
    const last = 64 + 192 + 48 + 48 + (24 + 48) + (40 + 64);
    assert.equal(refitFlop(model, [BATCH]), first + last);
  });

  it('are twice the multiply-accumulates that budgets count', () => {
    const [tokens, layers] = [37, 3];
    const base = { hiddenSize: 768, headSize: 64, lastQueries: 'all' } as const;
    const dense = { ...base, heads: Array(layers).fill(12), neurons: Array(layers).fill(3072) };
    const macs = encoderMacs({ heads: layers * 12, neurons: layers * 3072 }, { ...base, tokens });
    assert.equal(forwardFlop(dense, [{ samples: 1, rows: tokens, scores: tokens ** 2, positions: tokens }]), 2 * macs);
  });

  it('are counted at the shapes of a plan, with padding where it is computed', () => {
    const samples = [3, 2, 4].map((length) => ({
      tokenIds: new Int32Array(length),
      typeIds: new Uint8Array(length),
      target: Float32Array.of(0),
    }));
    const limits = { groupSize: 1, tokensPerBatch: 64, tokensPerShard: 64, leastShards: 1, heldOut: 0 };
    const plan = makePlan(samples, limits);
    assert.deepEqual(batchShapes(plan), [{ samples: 3, rows: 12, scores: 48, positions: 9 }]);
    assert.deepEqual(batchShapes(plan, true), [{ samples: 3, rows: 9, scores: 9 + 4 + 16, positions: 9 }]);
  });
});
