import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import {
  bfloat16ToFloat32,
  float16ToFloat32,
  float32ToBfloat16,
  float32ToFloat16,
  type Rounded,
} from '../../../checkpoint/half-precision.ts';

const ALL_BITS = Uint16Array.from({ length: 65536 }, (_, bits) => bits);

/** The value that the definition of a binary format gives to 16 bits, in float64. */
function definedValue(bits: number, exponentBits: number): number {
  const mantissaBits = 15 - exponentBits;
  const bias = 2 ** (exponentBits - 1) - 1;
  const sign = bits & 0x8000 ? -1 : 1;
  const exponent = (bits & 0x7fff) >> mantissaBits;
  const fraction = (bits & (2 ** mantissaBits - 1)) / 2 ** mantissaBits;
  if (exponent === 2 ** exponentBits - 1) return fraction === 0 ? sign * Infinity : NaN;
  return sign * (exponent === 0 ? fraction * 2 ** (1 - bias) : (1 + fraction) * 2 ** (exponent - bias));
}

const FORMATS: [string, number, (bits: Uint16Array) => Float32Array, (values: Float32Array) => Rounded][] = [
  ['float16', 5, float16ToFloat32, float32ToFloat16],
  ['bfloat16', 8, bfloat16ToFloat32, float32ToBfloat16],
];

for (const [name, exponentBits, widen, narrow] of FORMATS)
  describe(name, () => {
    const values = widen(ALL_BITS);
    const infinity = 0x8000 - 2 ** (15 - exponentBits); // bits of +infinity
    const largest = values[infinity - 1];

    it('widens all 65536 values exactly', () => {
      for (const bits of ALL_BITS) assert.ok(Object.is(values[bits], definedValue(bits, exponentBits)), `bits ${bits}`);
    });

    it('narrows each of them to the same bits; NaN stays NaN', () => {
      const { bits, overflowAt } = narrow(values);
      assert.equal(overflowAt, -1);
      for (const i of ALL_BITS)
        if (Number.isNaN(values[i])) assert.ok((bits[i] & 0x7fff) > infinity, `bits ${i}`);
        else assert.equal(bits[i], i);
    });

    it('rounds to the nearest and ties to even, between all neighbours', () => {
      for (let bits = 0; bits < infinity - 1; bits++) {
        const tie = (values[bits] + values[bits + 1]) / 2; // exact in float32: one more bit of mantissa
        const raw = new Uint32Array(Float32Array.of(tie).buffer)[0];
        const around = new Float32Array(Uint32Array.of(raw - 1, raw, raw + 1).buffer);
        const even = bits % 2 === 0 ? bits : bits + 1;
        assert.deepEqual([...narrow(around).bits], [bits, even, bits + 1], `bits ${bits}`);
        assert.deepEqual(
          [...narrow(around.map((value) => -value)).bits],
          [bits, even, bits + 1].map((b) => b | 0x8000),
        );
      }
    });

    it('says where the first finite value became infinite', () => {
      const beyond = largest + (largest - values[infinity - 2]) / 2; // half a step over the largest: ties to infinity
      const { bits, overflowAt } = narrow(Float32Array.of(largest, Infinity, -beyond, beyond));
      assert.deepEqual([...bits], [infinity - 1, infinity, infinity | 0x8000, infinity]);
      assert.equal(overflowAt, 2);
      const raw = new Uint32Array(Float32Array.of(beyond).buffer)[0];
      const below = new Float32Array(Uint32Array.of(raw - 1).buffer);
      assert.deepEqual(narrow(below), { bits: Uint16Array.of(infinity - 1), overflowAt: -1 });
    });
  });

it('float32 subnormals round to bfloat16 and vanish in float16', () => {
  const tiny = new Float32Array(Uint32Array.of(0x00018000, 0x80000001).buffer);
  assert.deepEqual([...float32ToBfloat16(tiny).bits], [2, 0x8000]);
  assert.deepEqual([...float32ToFloat16(tiny).bits], [0, 0x8000]);
});
