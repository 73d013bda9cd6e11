// Entities of token classification, found as seqeval's default mode and conlleval find them: IOB1, IOB2 and BIOES (and
// BILOU) are all read, and a sequence that breaks its scheme still gives entities. Labels that are in no such scheme
// (part of speech, say) are counted token by token, "O" left out.
import type { MetricValues } from './metrics.ts';
import { ratio } from './metrics-classification.ts';

/** What the metrics of words are made of. */
export interface WordCounts {
  /** Entities that are predicted and gold. */
  readonly hits: number;
  readonly golds: number;
  readonly predicted: number;
  /** Right labels, of all that count. */
  readonly right: number;
  readonly labels: number;
}

/** Precision, recall and F1 of entities over all samples together (micro), and accuracy of labels.
 * @param targets [samples][tokens] class ids, negative where no label counts.
 * @param predictions [samples][tokens] class ids. @param labels names by class id. */
export function wordMetrics(
  targets: readonly Float32Array[],
  predictions: readonly Int32Array[],
  labels: readonly string[],
): MetricValues {
  const all = { hits: 0, golds: 0, predicted: 0, right: 0, labels: 0 };
  for (const [i, target] of targets.entries()) {
    const own = wordCounts(target, predictions[i], labels);
    for (const name of Object.keys(all) as (keyof WordCounts)[]) all[name] += own[name];
  }
  return metricsOfWords(all);
}

export function metricsOfWords({ hits, golds, predicted, right, labels }: WordCounts): MetricValues {
  return {
    f1: ratio(2 * hits, golds + predicted),
    precision: ratio(hits, predicted),
    recall: ratio(hits, golds),
    accuracy: ratio(right, labels),
  };
}

/** Counts of one sample. @param target [tokens]. @param prediction [tokens]. */
export function wordCounts(target: Float32Array, prediction: Int32Array, names: readonly string[]): WordCounts {
  const inScheme = names.every((name) => /^(O|[BIESLU](-.*)?)$/.test(name));
  const golds: string[] = [];
  const predicted: string[] = [];
  target.forEach((gold, token) => {
    if (gold < 0) return;
    golds.push(names[gold] ?? String(gold));
    predicted.push(names[prediction[token]] ?? String(prediction[token]));
  });
  const goldSpans = new Set(inScheme ? entities(golds) : tokenSpans(golds));
  const predictedSpans = inScheme ? entities(predicted) : tokenSpans(predicted);
  return {
    hits: predictedSpans.filter((span) => goldSpans.has(span)).length,
    golds: goldSpans.size,
    predicted: predictedSpans.length,
    right: golds.filter((name, i) => name === predicted[i]).length,
    labels: golds.length,
  };
}

/** Entities of a sequence of tags, each as "type first last". */
export function entities(tags: readonly string[]): string[] {
  const found: string[] = [];
  let previous = { tag: 'O', type: '_' };
  let first = 0;
  for (let i = 0; i <= tags.length; i++) {
    const current = i < tags.length ? split(tags[i]) : { tag: 'O', type: '_' };
    if (ends(previous, current)) found.push(`${previous.type} ${first} ${i - 1}`);
    if (starts(previous, current)) first = i;
    previous = current;
  }
  return found;
}

interface Tag {
  /** B, I, E, S or O. */
  readonly tag: string;
  readonly type: string;
}

function split(name: string): Tag {
  const tag = name[0] === 'L' ? 'E' : name[0] === 'U' ? 'S' : name[0];
  return { tag, type: name.slice(2) || '_' };
}

function ends(previous: Tag, current: Tag): boolean {
  if (previous.tag === 'O') return false;
  if (previous.tag === 'E' || previous.tag === 'S') return true;
  return 'BSO'.includes(current.tag) || previous.type !== current.type;
}

function starts(previous: Tag, current: Tag): boolean {
  if (current.tag === 'O') return false;
  if (current.tag === 'B' || current.tag === 'S') return true;
  return 'ESO'.includes(previous.tag) || previous.type !== current.type;
}

function tokenSpans(names: readonly string[]): string[] {
  return names.flatMap((name, i) => (name === 'O' ? [] : [`${name} ${i}`]));
}
