// Estimates of all places at once are those of one place after another, and what is found are the places at most at the limit.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { PlaceEstimates } from '../../../pruning/place-estimates.ts';
import { randomStream } from '../../../pruning/random.ts';

test('every number of places and directions; moved or looked at', () => {
  const random = randomStream(2, 'place-estimates');
  const value = () => 2 * random.uniform() - 1;
  for (const places of [1, 7, 8, 9, 100])
    for (const directions of [0, 1, 5]) {
      const own = new PlaceEstimates(places, directions);
      const coordinates = new Float64Array(places * directions).map(value);
      const rests = new Float64Array(places).map(() => random.uniform());
      for (let place = 0; place < places; place++) {
        own.set(place, coordinates, place * directions, rests[place]);
        own.estimates[place] = value();
      }
      const before = own.estimates.slice(0, places);
      const along = new Float64Array(directions + 3).map(value);
      const expected = before.map((estimate, place) => {
        let found = estimate - 2 * rests[place] * 0.5;
        for (let k = 0; k < directions; k++) found -= coordinates[place * directions + k] * 2 * along[3 + k];
        return found;
      });
      own.lower(places, along, 3, 0.5);
      assert.deepEqual(own.lowered.slice(0, places), expected);
      assert.deepEqual(own.estimates.slice(0, places), before);
      for (const limit of [Number.NEGATIVE_INFINITY, expected[0], 0, 10]) {
        const count = own.atMost(places, limit);
        const found = [...expected.keys()].filter((place) => expected[place] <= limit);
        assert.deepEqual([...own.found.subarray(0, count)], found, `${places} places, ${directions}, at most ${limit}`);
      }
      own.move(places, along.subarray(3), 0.5);
      assert.deepEqual(own.estimates.slice(0, places), expected);
      assert.ok(own.estimates.subarray(places).every((estimate) => estimate === Number.POSITIVE_INFINITY));
    }
});
