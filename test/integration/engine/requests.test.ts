// What a peer can send to the engine: everything malformed is refused with code "protocol" and a text that names the
// field, what was got and what was expected; afterwards the same runner answers as before.
import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import path from 'node:path';
import test from 'node:test';
import { writeOnnx } from '../../../checkpoint/onnx/write-onnx.ts';
import { openCheckpoint } from '../../../checkpoint/open-checkpoint.ts';
import { writePrunedCheckpoint } from '../../../checkpoint/write-pruned.ts';
import type { EncodedSample } from '../../../dataset/encoded-sample.ts';
import { makePlan, type Plan } from '../../../dataset/plan.ts';
import { encodePlan } from '../../../dataset/plan-blob.ts';
import { keptVariables, withScales } from '../../../pruning/sub-layers.ts';
import type { SumNode__Output as SumNode } from '../../../shared/rpc/generated/espalier/v1/SumNode.ts';
import { encodeSafetensors } from '../../../shared/safetensors.ts';
import type { NamedTensor } from '../../../shared/tensor.ts';
import { Engine } from '../../../worker/engine/engine.ts';
import { localModel } from '../../support/engine.ts';
import { Desk, emptySet, type MaskSet, maskSet, planOf } from './request-desk.ts';
import { assertSameBits, assertWithin, largestDifference } from './results.ts';
import { HEADS, halfMasks, LAYERS, maskValues, NEURONS, temporaryFolder } from './tiny-model.ts';

test('several sub-layers in one solve: each as if it was asked for by itself with the scales before it; a wrong chain is refused', async (t) => {
  const desk = await Desk.open(t, 'SequenceClassification');
  const [fit, heldOut] = [0, 1].map((first) => ({ shards: { first, end: first + 1 }, source: 'shards' }) as const);
  const places = [
    { layer: 1, subLayer: 'attention' },
    { layer: 1, subLayer: 'ffn' },
    { layer: 2, subLayer: 'ffn' },
  ] as const;
  let student = halfMasks('student');
  const expected: NamedTensor[][] = [];
  for (const [at, place] of places.entries()) {
    const solved = await desk.run(desk.solve({ ...place, fit, heldOut, student: maskSet(student) }));
    const kept = keptVariables(student, place);
    student = withScales(student, { ...place, kept }, solved[0].data as Float64Array);
    expected.push(solved.map((tensor) => (at === 0 ? tensor : { ...tensor, name: `${at}.${tensor.name}` })));
  }
  const [first, ...next] = places.map((place) => ({ ...place }));
  const told: NamedTensor[][] = [];
  const request = desk.solve({ ...first, fit, heldOut, next });
  for (const isKept of [true, false]) {
    if (!isKept) desk.forget();
    const last = await desk.run(request, undefined, (tensors) => told.push([...tensors]));
    for (const [at, tensors] of [...told.splice(0), last].entries()) assertSameBits(tensors, expected[at], `${at}`);
  }
  const sums = {
    sums: await desk.put(encodeSafetensors(await desk.run(desk.normalEquations()))),
    source: 'sums',
  } as const;
  for (const [changes, text] of [
    [{ next: [{ layer: 1, subLayer: 'other' }] }, /^sub_layer: got "other"/],
    [{ next: [{ layer: LAYERS, subLayer: 'ffn' }] }, /^layer: got 3/],
    [{ next, fit: sums }, /^several sub-layers: got sums, expected shards/],
    [{ next: Array.from({ length: 256 }, () => next[0]) }, /^next: got 256, expected 0 to 255/],
  ] as const)
    await desk.refuses(desk.solve(changes as Parameters<Desk['solve']>[0]), text);
});

test('well-formed requests of every kind are answered', async (t) => {
  const desk = await Desk.open(t, 'SequenceClassification');
  const kept = maskValues(halfMasks('student'))
    .neurons.subarray(NEURONS, 2 * NEURONS)
    .reduce((a, b) => a + b, 0);
  const width = LAYERS * (HEADS + NEURONS);
  for (const [request, shapes] of [
    [desk.fisher(), { rows: [2, width], losses: [6] }],
    [desk.fisher({ gram: true }), { head_gram: [3, 6], neuron_gram: [3, 210], losses: [6] }],
    [
      desk.gradients(),
      { losses: [6], head_importance: [9], neuron_importance: [60], token_gradients: [2 * LAYERS, 27] },
    ],
    [desk.evaluate(), { logits: [6, 3] }],
    [desk.evaluate({ student: null }), { logits: [6, 3] }],
    [desk.evaluate({ precision: 'tf32' }), { logits: [6, 3] }],
    [
      desk.normalEquations(),
      {
        matrix: [kept * kept],
        right: [kept],
        offset: [0],
        target_sum: [1],
        target_squares: [1],
        positions: [1],
      },
    ],
  ] as const)
    assert.deepEqual(
      Object.fromEntries((await desk.run(request)).map(({ name, shape }) => [name, [...shape]])),
      shapes,
    );
  const [scales, report] = await desk.run(desk.solve());
  assert.deepEqual([scales.name, [...scales.shape], report.name], ['scales', [kept], 'report']);
  // A solve from folded sums is the solve from their shards.
  const sums = await desk.put(encodeSafetensors(await desk.run(desk.normalEquations())));
  assertSameBits(await desk.run(desk.solve({ fit: { sums, source: 'sums' } })), [scales, report], 'from sums');
  // And the solve from a node that came and one that stayed.
  const first = await desk.put(
    encodeSafetensors(await desk.run(desk.normalEquations({ shards: { first: 0, end: 1 } }))),
  );
  const last = { first: 1, end: 2 };
  const nodes = (...own: SumNode[]) => ({ fit: { nodes: { nodes: own }, source: 'nodes' } as const });
  const both = nodes({ shards: { first: 0, end: 1 }, sums: first }, { shards: last, sums: null });
  for (const stays of [true, false]) {
    if (stays) assert.deepEqual(await desk.run(desk.normalEquations({ shards: last, stays })), []);
    assertSameBits(await desk.run(desk.solve(both)), [scales, report], stays ? 'from what stayed' : 'made again');
  }
  for (const wrong of [
    nodes(),
    nodes({ shards: { first: 0, end: 1 }, sums: first }, { shards: { first: 2, end: 3 }, sums: null }),
  ])
    await desk.refuses(desk.solve(wrong), /^nodes of sums: got (0-1,2-3)?, expected neighbouring nodes of one tree$/);
});

test('latency tells each round of each model, and what computed', async (t) => {
  const desk = await Desk.open(t, 'SequenceClassification');
  for (const runtime of ['', 'engine', 'onnxruntime'])
    for (const [request, shape] of [
      [desk.latency({ runtime }), [2, 1]],
      [desk.latency({ runtime, models: [desk.model], repeats: 3 }), [3, 3]],
      [desk.latency({ runtime, students: [] }), [0, 0]],
    ] as const) {
      const [seconds, about] = await desk.run(request);
      assert.deepEqual([seconds.name, seconds.dtype, ...seconds.shape], ['seconds', 'F64', ...shape]);
      assert.ok((seconds.data as Float64Array).every((value) => value > 0));
      const told = JSON.parse(new TextDecoder().decode(about.data as Uint8Array)) as Record<string, unknown>;
      assert.deepEqual(Object.keys(told).sort(), ['machine', 'name', 'provider', 'threads', 'version']);
      assert.equal(told.name, runtime || 'engine');
      assert.equal(told.provider, 'cpu');
    }
  const [, about] = await desk.run(desk.latency({ runtime: 'onnxruntime', threads: 3, students: [] }));
  assert.match(new TextDecoder().decode(about.data as Uint8Array), /"threads":3/);
});

test('requests without a task or without a part of one', async (t) => {
  const desk = await Desk.open(t, 'SequenceClassification');
  await desk.refuses({ taskId: 'lost' }, /^lost: got no task, expected one of fisher/);
  await desk.refuses({ taskId: 'x', task: 'fisher', fisher: null }, /^fisher: got nothing, expected a value/);
  await desk.refuses(desk.fisher({ model: null }), /^model: got nothing/);
  await desk.refuses(desk.fisher({ plan: null }), /^plan: got nothing/);
  await desk.refuses(desk.fisher({ shards: null }), /^shards: got nothing/);
  await desk.refuses(desk.gradients({ student: null }), /^student: got nothing/);
  await desk.refuses(desk.normalEquations({ teacher: null }), /^teacher: got nothing/);
  await desk.refuses(desk.normalEquations({ student: null }), /^student: got nothing/);
  await desk.refuses(desk.solve({ fit: null }), /^fit: got nothing/);
  await desk.refuses(desk.solve({ fit: {} }), /^shards: got nothing/);
  const unknown = { digest: 'a'.repeat(64), sizeBytes: 1 };
  await desk.refuses(desk.fisher({ plan: unknown }), /^blob a{64}: got nothing/);
  await desk.refuses(desk.solve({ fit: { sums: unknown, source: 'sums' } }), /^blob a{64}: got nothing/);
  await desk.refuses(desk.fisher({ model: { ...desk.model, weights: [unknown] } }), /^blob a{64}: got nothing/);
});

test('masks and scales', async (t) => {
  const desk = await Desk.open(t, 'SequenceClassification');
  const good = maskSet(halfMasks('student'));
  const two = Buffer.from(good.headMask);
  two[4] = 2;
  const scales = (value: number, count: number) => {
    const values = new Float32Array(count).fill(1);
    values[3] = value;
    return Buffer.from(values.buffer);
  };
  const wrong: [Partial<MaskSet>, RegExp][] = [
    [{ headMask: Buffer.alloc(8, 1) }, /^head_mask: got 8 bytes, expected 9$/],
    [{ headMask: Buffer.alloc(0) }, /^head_mask: got 0 bytes, expected 9$/],
    [{ neuronMask: Buffer.alloc(61, 1) }, /^neuron_mask: got 61 bytes, expected 60$/],
    [{ headMask: two }, /^head_mask 4: got 2, expected 0 or 1$/],
    [{ neuronMask: Buffer.alloc(60, 255) }, /^neuron_mask 0: got 255, expected 0 or 1$/],
    [{ headScales: Buffer.alloc(35) }, /^head_scales: got 35 bytes, expected at most 36$/],
    [{ headScales: Buffer.alloc(40) }, /^head_scales: got 40 bytes, expected at most 36$/],
    [{ neuronScales: Buffer.alloc(244) }, /^neuron_scales: got 244 bytes, expected at most 240$/],
    [{ headScales: scales(Number.NaN, 9) }, /^head_scales 3: got NaN, expected a finite number$/],
    [
      { neuronScales: scales(Number.NEGATIVE_INFINITY, 60) },
      /^neuron_scales 3: got -Infinity, expected a finite number$/,
    ],
  ];
  for (const [changes, text] of wrong) {
    const spoiled = { ...good, ...changes };
    await desk.refuses(desk.evaluate({ student: spoiled }), text);
    await desk.refuses(desk.gradients({ student: spoiled }), text);
    await desk.refuses(desk.normalEquations({ teacher: spoiled }), text);
    await desk.refuses(desk.solve({ student: spoiled }), text);
  }
  await desk.refuses(desk.latency({ students: [good, { ...good, headMask: two }] }), /^head_mask 4: got 2/);
});

test('shards, layers and sub-layers', async (t) => {
  const desk = await Desk.open(t, 'SequenceClassification');
  for (const [first, end] of [
    [0, 3],
    [2, 3],
    [1, 1],
    [2, 1],
  ]) {
    const shards = { first, end };
    const text = new RegExp(`^shards: got ${first} to ${end}, expected a range within 0 to 2$`);
    await desk.refuses(desk.fisher({ shards }), text);
    await desk.refuses(desk.gradients({ shards }), text);
    await desk.refuses(desk.evaluate({ shards }), text);
    await desk.refuses(desk.normalEquations({ shards }), text);
    await desk.refuses(desk.solve({ fit: { shards, source: 'shards' } }), text);
    await desk.refuses(desk.solve({ heldOut: { shards, source: 'shards' } }), text);
  }
  await desk.refuses(desk.normalEquations({ layer: 3 }), /^layer: got 3, expected 0 to 2$/);
  await desk.refuses(desk.solve({ layer: 4_000_000_000 }), /^layer: got 4000000000, expected 0 to 2$/);
  const sums = await desk.put(encodeSafetensors(await desk.run(desk.normalEquations())));
  await desk.refuses(desk.solve({ layer: 3, fit: { sums, source: 'sums' } }), /^layer: got 3, expected 0 to 2$/);
  for (const subLayer of ['', 'mha', 'FFN'])
    await desk.refuses(
      desk.normalEquations({ subLayer }),
      new RegExp(`^sub_layer: got "${subLayer}", expected "attention" or "ffn"$`),
    );
  const empty = halfMasks('student');
  empty.headMask.fill(0);
  const student = maskSet(empty);
  await desk.refuses(desk.normalEquations({ student, subLayer: 'attention' }), /sub-layer 2: got no kept variable/);
  await desk.refuses(desk.solve({ student, subLayer: 'attention' }), /sub-layer 2: got no kept variable/);
});

test('settings and sums of a solve', async (t) => {
  const desk = await Desk.open(t, 'SequenceClassification');
  await desk.refuses(desk.solve({ settingsJson: '' }), /^tuning settings: got no JSON/);
  await desk.refuses(desk.solve({ settingsJson: '{"damping":"none"}' }), /damping: got "none"/);
  const sums = await desk.run(desk.normalEquations());
  const blob = async (tensors: NamedTensor[]) => ({
    sums: await desk.put(encodeSafetensors(tensors)),
    source: 'sums' as const,
  });
  await desk.refuses(desk.solve({ fit: await blob(sums.slice(1)) }), /^sub-layer sums: tensor "matrix" is missing$/);
  const short = sums.map((tensor) =>
    tensor.name === 'matrix' ? { ...tensor, shape: [1], data: tensor.data.slice(0, 1) } : tensor,
  );
  await desk.refuses(
    desk.solve({ fit: await blob(short) }),
    /^matrix: got F64 \[1\] of 1 elements, expected F64 \[\d+ to \d+\]$/,
  );
  // Sums of another sub-layer are well formed; what they do not fit is said with the sizes.
  const other = await blob(await desk.run(desk.normalEquations({ layer: 0 })));
  for (const request of [desk.solve({ fit: other }), desk.solve({ heldOut: other })])
    await assert.rejects(desk.run(request), { code: 'shape_mismatch', message: /expected \d+, \d+$/ });
});

test('latency: what would take too long or too much memory', async (t) => {
  const desk = await Desk.open(t, 'SequenceClassification');
  await desk.refuses(desk.latency({ batchSize: 0 }), /^batch_size: got 0, expected 1 to 65536$/);
  await desk.refuses(desk.latency({ batchSize: 65_537 }), /^batch_size: got 65537, expected 1 to 65536$/);
  await desk.refuses(desk.latency({ tokens: 0 }), /^tokens: got 0, expected 1 to 34$/);
  await desk.refuses(desk.latency({ tokens: 35 }), /^tokens: got 35, expected 1 to 34$/);
  await desk.refuses(desk.latency({ batchSize: 4096, tokens: 17 }), /^tokens: got 17, expected 1 to 16$/);
  await desk.refuses(desk.latency({ repeats: 0 }), /^repeats: got 0, expected 1 to 1000$/);
  await desk.refuses(desk.latency({ repeats: 1001 }), /^repeats: got 1001, expected 1 to 1000$/);
  await desk.refuses(
    desk.latency({ students: new Array(64).fill(emptySet()), models: [desk.model] }),
    /^students and models: got 65, expected 0 to 64$/,
  );
  await desk.refuses(desk.latency({ leastSeconds: -1 }), /^least_seconds: got -1, expected 0 to 600$/);
  await desk.refuses(desk.latency({ leastSeconds: Number.NaN }), /^least_seconds: got NaN, expected 0 to 600$/);
  await desk.refuses(desk.latency({ threads: 1025 }), /^threads: got 1025, expected 0 to 1024$/);
  await desk.refuses(desk.latency({ runtime: 'torch' }), /^runtime: got "torch", expected "engine" or "onnxruntime"$/);
});

test('evaluate: products have the precision that is asked for, float32 where none is', async (t) => {
  const desk = await Desk.open(t, 'SequenceClassification');
  const asked: string[] = [];
  t.mock.method(Engine.prototype, 'withPrecision', (precision: string, body: () => unknown) => {
    asked.push(precision);
    return body();
  });
  for (const precision of ['', 'float32', 'tf32'])
    await desk.run(desk.evaluate({ precision, shards: { first: 0, end: 1 } }));
  assert.deepEqual(asked, ['float32', 'float32', 'tf32']);
  const text = /^precision: got "bfloat16", expected "float32" or "tf32"$/;
  await desk.refuses(desk.evaluate({ precision: 'bfloat16' }), text);
});

test('evaluate_onnx: logits of the very file that is meant, in one file or two, and of no other', async (t) => {
  const desk = await Desk.open(t, 'TokenClassification');
  const checkpoint = await openCheckpoint(desk.tiny.folder);
  t.after(() => checkpoint.close());
  const folder = await temporaryFolder(t);
  const [exact] = await desk.run(desk.evaluate({ student: null }));
  for (const [dtype, mostFileBytes, least, most] of [
    ['F32', 2 ** 31, 0, 1e-5],
    ['F32', 0, 0, 1e-5],
    // Matrices rounded to 11 bits.
    ['F16', 2 ** 31, 1e-5, 2e-2],
  ] as const) {
    const { files } = await writeOnnx(checkpoint, path.join(folder, 'model.onnx'), { dtype, mostFileBytes });
    const digests = files.map(({ sha256 }) => sha256);
    const [logits] = await desk.run(desk.evaluateOnnx({ dtype, digests }));
    assert.deepEqual([logits.name, [...logits.shape]], ['logits', [...exact.shape]]);
    const gap = largestDifference(logits.data as Float32Array, exact.data as Float32Array);
    assert.ok(gap >= least && gap <= most, `${dtype}: off by ${gap}`);
    const plan = await desk.put(encodePlan(planOf(desk.samples.slice(0, 3))));
    const [some] = await desk.run(desk.evaluateOnnx({ dtype, digests, plan, shards: { first: 0, end: 1 } }));
    // Of the same file, which is open: other batches differ in rounding only.
    const again = logits.data.slice(0, some.data.length) as Float32Array;
    assertWithin(largestDifference(some.data as Float32Array, again), 1e-5, 'the first samples alone');
    await desk.refuses(
      desk.evaluateOnnx({ dtype, digests: ['a'.repeat(64)] }),
      /^model.onnx: got [0-9a-f]{64}, expected a/,
    );
    await desk.refuses(desk.evaluateOnnx({ dtype, digests, shards: { first: 0, end: 9 } }), /^shards: got 0 to 9/);
  }
  await desk.refuses(desk.evaluateOnnx({ dtype: 'BF16' }), /^dtype: got "BF16", expected "F32" or "F16"/);
  await desk.refuses(desk.evaluateOnnx({ model: null }), /^model: got nothing/);
});

test('plans whose samples do not fit the model: in every task that reads samples', async (t) => {
  const desk = await Desk.open(t, 'SequenceClassification');
  const changed = (fields: Partial<EncodedSample>) => desk.samples.with(4, { ...desk.samples[4], ...fields });
  const ids = (...tokenIds: number[]) => ({
    tokenIds: Int32Array.from(tokenIds),
    typeIds: new Uint8Array(tokenIds.length),
  });
  const wrong: [EncodedSample[], RegExp][] = [
    [changed(ids(3, 37, 3)), /^sample 4: token: got 37, expected 0 to 36$/],
    [changed(ids(3, -1, 3)), /^sample 4: token: got -1, expected 0 to 36$/],
    [changed(ids(3, 2_147_483_647)), /^sample 4: token: got 2147483647, expected 0 to 36$/],
    [changed(ids(...new Array(35).fill(3))), /^batch: got 1 samples of 35 tokens, expected samples of 1 to 34$/],
    [changed({ typeIds: Uint8Array.of(0, 1, 2, 0, 0, 0) }), /^sample 4: type: got 2, expected 0 to 1$/],
    [changed(ids()), /^sample 4: got no token, expected one$|^batch: got 1 samples of 0 tokens/],
  ];
  const checkpoint = await openCheckpoint(desk.tiny.folder);
  t.after(() => checkpoint.close());
  const { files } = await writeOnnx(checkpoint, path.join(await temporaryFolder(t), 'model.onnx'), { dtype: 'F32' });
  const digests = files.map(({ sha256 }) => sha256);
  for (const [samples, text] of wrong) {
    const plan = await desk.put(encodePlan(planOf(samples)));
    for (const request of [
      desk.fisher({ plan }),
      desk.gradients({ plan }),
      desk.evaluate({ plan }),
      desk.evaluateOnnx({ plan, digests }),
      desk.normalEquations({ plan }),
      desk.solve({ plan }),
    ])
      await desk.refuses(request, text);
  }
});

test('fisher and gradients: targets that are missing or that the model cannot have', async (t) => {
  const cases: [Parameters<typeof Desk.open>[1], Parameters<typeof Desk.open>[2], [number[], RegExp][]][] = [
    [
      'SequenceClassification',
      {},
      [
        [[], /^sample 1: got a target of 0 numbers, expected 1$/],
        [[1, 2], /^sample 1: got a target of 2 numbers, expected 1$/],
        [[3], /^sample 1: got target 3, expected a class from 0 to 2$/],
        [[-1], /^sample 1: got target -1, expected a class from 0 to 2$/],
        [[0.5], /^sample 1: got target 0.5, expected a class from 0 to 2$/],
        [[Number.NaN], /^sample 1: got target NaN, expected a class from 0 to 2$/],
      ],
    ],
    [
      'SequenceClassification',
      { problem: 'multi_label_classification' },
      [
        [[], /^sample 1: got a target of 0 numbers, expected 3$/],
        [[0, 1, 2], /^sample 1: got target 2, expected 0 to 1$/],
      ],
    ],
    [
      'SequenceClassification',
      { problem: 'regression', labels: 2 },
      [
        [[0.5], /^sample 1: got a target of 1 numbers, expected 2$/],
        [[0.5, Number.POSITIVE_INFINITY], /^sample 1: got target Infinity, expected a finite number$/],
      ],
    ],
    [
      'TokenClassification',
      {},
      [
        [[], /^sample 1: got a target of 0 numbers, expected 3$/],
        [[0, 1, 3], /^sample 1: got target 3, expected a class from 0 to 2, or -100$/],
        [[0, 1, -1], /^sample 1: got target -1, expected a class from 0 to 2, or -100$/],
      ],
    ],
    [
      'QuestionAnswering',
      {},
      [
        [[], /^sample 1: got a target of 0 numbers, expected 2$/],
        [[0, 3], /^sample 1: got target 3, expected a token from 0 to 2$/],
      ],
    ],
  ];
  for (const [head, fields, wrong] of cases) {
    const desk = await Desk.open(t, head, fields);
    await desk.run(desk.fisher());
    for (const [target, text] of wrong) {
      const samples = desk.samples.with(1, { ...desk.samples[1], target: Float32Array.from(target) });
      const plan = await desk.put(encodePlan(planOf(samples)));
      await desk.refuses(desk.fisher({ plan }), text);
      await desk.refuses(desk.gradients({ plan }), text);
      // Outputs need no labels.
      assertSameBits(await desk.run(desk.evaluate({ plan })), await desk.run(desk.evaluate()), 'outputs');
    }
  }
});

test('a checkpoint that is pruned already takes no masks', async (t) => {
  const desk = await Desk.open(t, 'SequenceClassification');
  const folder = path.join(await temporaryFolder(t), 'pruned');
  const source = await openCheckpoint(desk.tiny.folder);
  await writePrunedCheckpoint(source, halfMasks('student'), 'F32', folder);
  await source.close();
  const { configJson } = await localModel(folder);
  const weights = [await desk.put(await readFile(path.join(folder, 'model.safetensors')))];
  const model = { configJson, weights };
  assert.equal((await desk.run(desk.evaluate({ model, student: null }))).length, 1);
  await desk.refuses(desk.evaluate({ model }), /^masks: got a model that is already pruned, expected a dense one$/);
  await desk.refuses(desk.gradients({ model }), /^masks: got a model that is already pruned/);
  await desk.refuses(desk.normalEquations({ model }), /^masks: got a model that is already pruned/);
  await desk.refuses(desk.fisher({ model }), /^fisher: got a model that is already pruned, expected a dense one$/);
});

test('plans of a size that no plan has: micro-batches and rows of gradients', async (t) => {
  const desk = await Desk.open(t, 'SequenceClassification');
  const { tokenIds, typeIds, target } = desk.samples[0];
  const short = { tokenIds: tokenIds.slice(0, 1), typeIds: typeIds.slice(0, 1), target };
  const many = (count: number, tokensPerBatch: number) =>
    encodePlan(
      makePlan(new Array(count).fill(short), {
        ...{ groupSize: 1, tokensPerBatch, tokensPerShard: 1e9, leastShards: 1, heldOut: 0 },
      }),
    );
  const shards = { first: 0, end: 1 };
  const wide = await desk.put(many(65_537, 1e9));
  const text = /^batch: got 65537 samples of 1 tokens, expected at most 65536 tokens$/;
  await desk.refuses(desk.evaluate({ plan: wide, shards }), text);
  // 69 gradients of three layers with 3 heads and 20 neurons each.
  const long = await desk.put(many(2_000_000, 64));
  await desk.refuses(
    desk.fisher({ plan: long, shards }),
    /^fisher: got 2000000 rows of 69, expected at most 134217728/,
  );
});

test('plans that do not hold together', async (t) => {
  const desk = await Desk.open(t, 'SequenceClassification');
  const plan = makePlan(desk.samples, {
    ...{ groupSize: 3, tokensPerBatch: 64, tokensPerShard: 12, leastShards: 1, heldOut: 0.25 },
  });
  const [first, ...rest] = plan.shards;
  const [batch, ...others] = first.batches;
  const withMembers = (...members: number[]): Plan => ({
    ...plan,
    shards: [{ ...first, batches: [{ ...batch, members: Int32Array.from(members) }, ...others] }, ...rest],
  });
  const put = async (changed: Plan) => ({ plan: await desk.put(encodePlan(changed)) });
  await desk.refuses(desk.fisher(await put(withMembers(0, 99, 2))), /^plan: batch 0: got sample 99, expected one of 6/);
});
