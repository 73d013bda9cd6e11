#!/usr/bin/env node
// Makes English sentences like those of film reviews, with their sentiment (1 positive, 0 negative), for the demo and
// for trials without a data set. The same count and seed give the same file. Sentences have 3 to 40 words; many turn
// their meaning with a negation or a contrast, so a model that only counts nice words gets those wrong.
//
// usage: node examples/generate-reviews.mjs FILE [COUNT] [SEED]      JSON lines {"sentence": "…", "label": 0 | 1}

import fs from 'node:fs';
import { pathToFileURL } from 'node:url';
import {
  ADJECTIVES,
  ASIDES,
  ASPECTS,
  GENRES,
  INTENSIFIERS,
  NOUN_PHRASES,
  OPENINGS,
  OPINIONS,
  RESULTS,
  SUBJECTS,
  VERBS,
} from './review-words.mjs';

/** Writes reviews as JSON lines. */
export function writeReviews(file, reviews) {
  const lines = reviews.map((review) => `${JSON.stringify(review)}\n`);
  fs.writeFileSync(file, lines.join(''));
}

/** @returns {{ sentence: string, label: 0 | 1 }[]} `count` sentences, all different; about half are positive. */
export function generateReviews({ count, seed }) {
  const draw = createDraw(seed);
  const reviews = new Map();
  while (reviews.size < count) {
    const label = draw.chance(0.5) ? 1 : 0;
    const words = draw.weighted(FORMS)(draw, label).split(' ');
    if (words.length < 3 || words.length > 40) continue;
    reviews.set(words.join(' '), label);
  }
  return [...reviews].map(([sentence, label]) => ({ sentence, label }));
}

// Each form makes one sentence of the given label. Weights are relative.
const FORMS = [
  { weight: 2, make: (draw, label) => `${describe(draw, label)} ${draw.pick(GENRES)}` },
  { weight: 2, make: (draw, label) => end(draw, clause(draw, label)) },
  { weight: 2, make: (draw, label) => end(draw, `${clause(draw, label)} and ${clause(draw, label)}`) },
  { weight: 2, make: (draw, label) => end(draw, `${phrase(draw, label)} that ${draw.pick(RESULTS[label])}`) },
  { weight: 2, make: (draw, label) => end(draw, negated(draw, label)) },
  { weight: 2, make: (draw, label) => end(draw, contrast(draw, label)) },
  { weight: 1, make: (draw, label) => end(draw, `${draw.pick(OPINIONS[label])} this ${genre(draw, label)}`) },
  { weight: 1, make: (draw, label) => end(draw, `${draw.pick(OPENINGS)} , ${clause(draw, label)}`) },
  { weight: 2, make: (draw, label) => end(draw, rambling(draw, label)) },
];

/** A statement about the film or a part of it. */
function clause(draw, label) {
  const subject = draw.chance(0.7) ? `the ${draw.pick(ASPECTS)}` : draw.pick(SUBJECTS);
  if (draw.chance(0.5)) return `${subject} is ${describe(draw, label)}`;
  return draw.chance(0.6) ? `${subject} ${draw.pick(VERBS[label])}` : `${subject} is ${draw.pick(NOUN_PHRASES[label])}`;
}

/** One or two adjectives, some with an intensifier. */
function describe(draw, label) {
  const [first, second] = draw.pickTwo(ADJECTIVES[label]);
  const opening = draw.chance(0.3) ? `${draw.pick(INTENSIFIERS)} ${first}` : first;
  return draw.chance(0.4) ? `${opening} and ${second}` : opening;
}

function genre(draw, label) {
  return draw.chance(0.5) ? `${draw.pick(ADJECTIVES[label])} ${draw.pick(GENRES)}` : draw.pick(GENRES);
}

/** "a dull comedy": a noun phrase with its article. */
function phrase(draw, label) {
  const words = `${describe(draw, label)} ${draw.pick(GENRES)}`;
  return `${/^[aeiou]/.test(words) ? 'an' : 'a'} ${words}`;
}

/** Words of the other side, turned round by a negation. */
function negated(draw, label) {
  const other = 1 - label;
  const aspect = draw.pick(ASPECTS);
  const adjective = draw.pick(ADJECTIVES[other]);
  if (label === 0) {
    const forms = [
      `the ${aspect} is never ${adjective}`,
      `there is nothing ${adjective} about the ${aspect}`,
      `it is neither ${adjective} nor ${draw.pick(ADJECTIVES[other])}`,
      `not even the ${aspect} can save this ${draw.pick(GENRES)}`,
      `it tries hard to be ${adjective} and fails`,
    ];
    return draw.pick(forms);
  }
  const forms = [
    `the ${aspect} is never ${adjective}`,
    `there is not one ${adjective} moment in it`,
    `it is anything but ${adjective}`,
    `you will not find the ${aspect} ${adjective} for a second`,
    `it could have been ${adjective} , and it is ${draw.pick(ADJECTIVES[label])}`,
  ];
  return draw.pick(forms);
}

/** Two sides of the film; the main clause decides. */
function contrast(draw, label) {
  const other = 1 - label;
  const [first, second] = draw.pickTwo(ASPECTS);
  const forms = [
    `despite the ${draw.pick(ADJECTIVES[other])} ${first} , the ${second} is ${describe(draw, label)}`,
    `the ${first} is ${draw.pick(ADJECTIVES[other])} , but ${clause(draw, label)}`,
    `although the ${first} ${draw.pick(VERBS[other])} , the film ${draw.pick(RESULTS[label])}`,
    `for all its ${draw.pick(ADJECTIVES[other])} moments , it is ${draw.pick(NOUN_PHRASES[label])}`,
    `${phrase(draw, label)} , even if the ${first} is ${draw.pick(ADJECTIVES[other])} at times`,
  ];
  return draw.pick(forms);
}

/** A long sentence: an aside in the middle, two statements, and a verdict. */
function rambling(draw, label) {
  const opening = draw.chance(0.5) ? `${draw.pick(OPENINGS)} , ` : '';
  const middle = `this ${draw.pick(GENRES)} , ${draw.pick(ASIDES)} , ${draw.pick(RESULTS[label])}`;
  const more = draw.chance(0.5) ? ` , and ${clause(draw, label)}` : '';
  const verdict = draw.chance(0.5) ? ` -- it is ${draw.pick(NOUN_PHRASES[label])}` : '';
  return `${opening}${middle}${more}${verdict}`;
}

const end = (draw, sentence) => (draw.chance(0.8) ? `${sentence} .` : sentence);

/** Draws from a seeded stream of numbers (mulberry32): the same on every machine. */
function createDraw(seed) {
  let state = seed >>> 0;
  const next = () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let bits = Math.imul(state ^ (state >>> 15), state | 1);
    bits ^= bits + Math.imul(bits ^ (bits >>> 7), bits | 61);
    return ((bits ^ (bits >>> 14)) >>> 0) / 2 ** 32;
  };
  const pick = (items) => items[Math.floor(next() * items.length)];
  return {
    pick,
    chance: (probability) => next() < probability,
    pickTwo(items) {
      const first = pick(items);
      const others = items.filter((item) => item !== first);
      return [first, pick(others)];
    },
    weighted(forms) {
      let left = next() * forms.reduce((sum, form) => sum + form.weight, 0);
      for (const form of forms) {
        left -= form.weight;
        if (left < 0) return form.make;
      }
    },
  };
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? '').href) {
  const [file, count = '1000', seed = '1'] = process.argv.slice(2);
  if (file === undefined || file.startsWith('-') || !/^\d+$/.test(count) || !/^\d+$/.test(seed)) {
    console.error('usage: node examples/generate-reviews.mjs FILE [COUNT] [SEED]');
    process.exitCode = 2;
  } else {
    writeReviews(file, generateReviews({ count: Number(count), seed: Number(seed) }));
  }
}
