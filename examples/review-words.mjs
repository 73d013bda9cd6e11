// The words of the made-up reviews: lower case, with a space around every token, as the example model was trained to
// read. Of each pair, index 0 is the negative side and index 1 the positive, as the labels are.

export const ADJECTIVES = [
  [
    'dull',
    'tedious',
    'lifeless',
    'clumsy',
    'shallow',
    'predictable',
    'bland',
    'messy',
    'pointless',
    'forgettable',
  ].concat([
    'annoying',
    'flat',
    'awful',
    'sloppy',
    'stale',
    'muddled',
    'lazy',
    'hollow',
    'boring',
    'ridiculous',
    'weak',
    'bad',
  ]),
  [
    'charming',
    'gripping',
    'moving',
    'clever',
    'graceful',
    'funny',
    'inventive',
    'lovely',
    'honest',
    'brilliant',
  ].concat(
    ['delightful', 'warm', 'thrilling', 'fresh', 'witty', 'powerful', 'touching', 'smart', 'gorgeous', 'rich', 'good'],
    ['enjoyable'],
  ),
];

export const VERBS = [
  ['drags', 'falls apart', 'collapses', 'bores', 'fails', 'goes nowhere', 'stumbles', 'wears thin', 'misses the mark'],
  [
    'shines',
    'works beautifully',
    'delights',
    'succeeds',
    'charms',
    'soars',
    'pays off',
    'lingers in the mind',
    'sparkles',
  ],
];

export const RESULTS = [
  [
    'puts its audience to sleep',
    'wastes a talented cast',
    'never comes to life',
    'runs out of ideas after ten minutes',
    'feels twice as long as it is',
    'has nothing to say',
    'leaves you cold',
    'insults the intelligence of its viewers',
  ],
  [
    'keeps you smiling to the end',
    'stays with you for days',
    'finds beauty in small moments',
    'earns every one of its tears',
    'gives its actors room to breathe',
    'rewards a second viewing',
    'makes you care about everyone in it',
    'is a pleasure from start to finish',
  ],
];

export const NOUN_PHRASES = [
  ['a waste of time', 'a complete mess', 'a missed chance', 'a chore to sit through', 'a sad excuse for a comedy'],
  ['a real treat', 'a small miracle', 'a quiet triumph', 'a joy to watch', 'one of the best films of the year'],
];

export const OPINIONS = [
  ['i hated', 'i could barely sit through', 'i was bored by', 'i regret watching', 'nobody needs'],
  ['i loved', 'i was swept away by', 'i was moved by', 'i want to see again', 'everyone should enjoy'],
];

export const ASPECTS = [
  'story',
  'script',
  'acting',
  'dialogue',
  'direction',
  'plot',
  'humor',
  'ending',
  'music',
].concat([
  'romance',
  'cast',
  'camera work',
  'pacing',
  'action',
  'lead performance',
  'first half',
  'final act',
  'premise',
]);

export const GENRES = [
  'comedy',
  'drama',
  'thriller',
  'romance',
  'documentary',
  'film',
  'movie',
  'adventure',
  'mystery',
].concat(['fairy tale', 'war film', 'family film', 'horror film', 'love story', 'musical', 'character study']);

export const INTENSIFIERS = [
  'very',
  'really',
  'truly',
  'utterly',
  'surprisingly',
  'often',
  'deeply',
  'consistently',
  'so',
];

export const ASIDES = [
  'set in a small town by the sea',
  'shot over a single summer',
  'based on a novel from the fifties',
  'about two brothers and a stolen car',
  'now in its third week at the local theater',
  'told through the eyes of a child',
  'from a first-time director',
  'about a teacher who loses her job',
];

export const OPENINGS = [
  'in the end',
  'from the first scene',
  'all in all',
  'for almost two hours',
  'at its heart',
].concat([
  'when the lights come up',
  'as the weeks go by in the story',
  'somewhere in the middle',
  'to be fair',
  'this time',
]);

export const SUBJECTS = ['it', 'the film', 'the movie', 'this picture', 'the whole thing'];
