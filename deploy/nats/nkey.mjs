// NKEYs of users: Ed25519 key pairs in NATS's own text form. The text is base32, without padding, of prefix bytes, 32
// bytes of key, and their CRC-16 (XMODEM), low byte first.

import { generateKeyPairSync } from 'node:crypto';

const SEED = 18 << 3; // S
const USER = 20 << 3; // U
const ALPHABET = 'ABCDEFGHIJKLMNOPQRSTUVWXYZ234567';

/** @returns `{ publicKey: 'U…', seed: 'SU…' }`; the seed is the secret. */
export function makeUserKey() {
  const { privateKey } = generateKeyPairSync('ed25519');
  const { d, x } = privateKey.export({ format: 'jwk' });
  // The user's prefix goes on over the seed's second byte.
  const seedPrefix = [SEED | (USER >> 5), (USER & 31) << 3];
  return {
    publicKey: encode([USER], Buffer.from(x, 'base64url')),
    seed: encode(seedPrefix, Buffer.from(d, 'base64url')),
  };
}

function encode(prefix, key) {
  const body = Buffer.concat([Buffer.from(prefix), key]);
  const sum = crc16(body);
  return base32(Buffer.concat([body, Buffer.from([sum & 255, sum >> 8])]));
}

function crc16(bytes) {
  let sum = 0;
  for (const byte of bytes) {
    sum ^= byte << 8;
    for (let bit = 0; bit < 8; bit += 1) sum = ((sum << 1) ^ (sum & 0x8000 ? 0x1021 : 0)) & 0xffff;
  }
  return sum;
}

function base32(bytes) {
  const bits = [...bytes].map((byte) => byte.toString(2).padStart(8, '0')).join('');
  return bits
    .match(/.{1,5}/g)
    .map((five) => ALPHABET[Number.parseInt(five.padEnd(5, '0'), 2)])
    .join('');
}
