// What a call of an operation takes the host, on tensors so small that nothing else counts: as the package's binding makes it, by
// way of prepared operations, and through the engine with its scopes. The least of several rounds, in turn.
//   node dist/test/bench/calls.js
import { createRequire } from 'node:module';
import { loadBinding, type OpAttribute, type TensorflowBinding } from '../../worker/engine/binding.ts';
import { Engine, FLOAT, INT32 } from '../../worker/engine/engine.ts';
import { Ops } from '../../worker/engine/ops.ts';
import { setEngineEnvironment } from '../../worker/engine-executor.ts';

const [ROUNDS, CALLS, CALLS_OF_SCOPE] = [9, 10_000, 20];

setEngineEnvironment({ threads: 1, device: 'cpu' });
const prepared = loadBinding();
const native = createRequire(import.meta.url)(
  '@tensorflow/tfjs-node-gpu/lib/napi-v8/tfjs_binding.node',
) as TensorflowBinding;
const engine = new Engine(prepared);
const ops = new Ops(engine);
const x = engine.upload(new Float32Array(64).fill(1), [8, 8]);
const flat = engine.constant([64]);

const type = (name: string, value: number): OpAttribute => ({ name, type: native.TF_ATTR_TYPE, value });
const bool = (name: string): OpAttribute => ({ name, type: native.TF_ATTR_BOOL, value: false });
const T = type('T', FLOAT);

const CASES: readonly { name: string; attributes: OpAttribute[]; inputs: number[]; run: () => unknown }[] = [
  { name: 'Identity', attributes: [T], inputs: [x.id], run: () => ops.copy(x) },
  { name: 'Reshape', attributes: [T, type('Tshape', INT32)], inputs: [x.id, flat.id], run: () => ops.reshape(x, [64]) },
  { name: 'AddV2', attributes: [T], inputs: [x.id, x.id], run: () => ops.add(x, x) },
  {
    name: 'MatMul',
    attributes: [bool('transpose_a'), bool('transpose_b'), T],
    inputs: [x.id, x.id],
    run: () => ops.matMul(x, x),
  },
];

/** Microseconds of one of `CALLS` calls. */
function timed(calls: () => void): number {
  const start = performance.now();
  calls();
  return ((performance.now() - start) * 1000) / CALLS;
}

for (const { name, attributes, inputs, run } of CASES) {
  const through = (binding: TensorflowBinding) => () => {
    for (let i = 0; i < CALLS; i++)
      for (const { id } of binding.executeOp(name, attributes, inputs, 1)) binding.deleteTensor(id);
  };
  const inScopes = () => {
    const scope = () => {
      for (let i = 0; i < CALLS_OF_SCOPE; i++) run();
    };
    for (let i = 0; i < CALLS; i += CALLS_OF_SCOPE) engine.scope(scope);
  };
  const ways = { package: through(native), prepared: through(prepared), engine: inScopes };
  const least = {
    package: Number.POSITIVE_INFINITY,
    prepared: Number.POSITIVE_INFINITY,
    engine: Number.POSITIVE_INFINITY,
  };
  for (let round = 0; round < ROUNDS; round++)
    for (const way of ['package', 'prepared', 'engine'] as const) least[way] = Math.min(least[way], timed(ways[way]));
  const texts = Object.entries(least).map(([way, microseconds]) => `${way} ${microseconds.toFixed(2)}`);
  process.stdout.write(`${name}: ${texts.join(', ')} µs\n`);
}
