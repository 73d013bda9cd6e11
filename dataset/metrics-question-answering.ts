// Answers read out of start and end logits as transformers' run_qa.py reads them, and SQuAD's exact match and F1.
import type { MetricValues } from './metrics.ts';
import type { DrawnSample } from './row-encoder.ts';

const CANDIDATES = 20;
const MAX_ANSWER_TOKENS = 30;

export interface PredictedAnswer {
  readonly row: number;
  /** Characters of the context; empty where no answer was found. */
  readonly text: string;
}

/** The best answer of each drawn question over its windows, in the order of draws: the highest sum of start and end
 * logit among the 20 best of each, inside the context, at most 30 tokens.
 * @param outputs [samples][tokens * 2]. @param contexts by row.
 * @param unanswerable true: no answer where the first token's sum, least over the windows, is higher still. */
export function predictAnswers(
  samples: readonly DrawnSample[],
  outputs: readonly Float32Array[],
  contexts: readonly string[],
  unanswerable: boolean,
): PredictedAnswer[] {
  const answers = new Map<number, { row: number; text: string; score: number; nullScore: number }>();
  samples.forEach(({ row, draw, window }, i) => {
    const answer = answers.get(draw) ?? {
      row,
      text: '',
      score: Number.NEGATIVE_INFINITY,
      nullScore: Number.POSITIVE_INFINITY,
    };
    answers.set(draw, answer);
    const logits = outputs[i];
    answer.nullScore = Math.min(answer.nullScore, logits[0] + logits[1]);
    if (window === null) return;
    const tokens = window.starts.length;
    const inContext = (token: number) => token >= window.position && token < window.position + tokens;
    const ends = best(logits, 1).filter(inContext);
    for (const start of best(logits, 0).filter(inContext))
      for (const end of ends) {
        if (end < start || end - start + 1 > MAX_ANSWER_TOKENS) continue;
        const score = logits[2 * start] + logits[2 * end + 1];
        if (score <= answer.score) continue;
        answer.score = score;
        answer.text = contexts[row].slice(window.starts[start - window.position], window.ends[end - window.position]);
      }
  });
  return [...answers.values()].map(({ row, text, score, nullScore }) => ({
    row,
    text: unanswerable && nullScore > score ? '' : text,
  }));
}

/** Tokens with the highest logits, highest first. */
function best(logits: Float32Array, output: 0 | 1): number[] {
  const order = Array.from({ length: logits.length / 2 }, (_, token) => token);
  return order.sort((a, b) => logits[2 * b + output] - logits[2 * a + output]).slice(0, CANDIDATES);
}

/** A predicted answer and those that count as right; none: there is no answer. */
export interface AnsweredQuestion {
  readonly prediction: string;
  readonly golds: readonly string[];
}

/** SQuAD's metrics: the mean over questions of `questionScore`. */
export function questionMetrics(questions: readonly AnsweredQuestion[]): MetricValues {
  let f1 = 0;
  let exact = 0;
  for (const question of questions) {
    const score = questionScore(question);
    f1 += score.f1;
    exact += score.exact_match;
  }
  const count = Math.max(questions.length, 1);
  return { f1: f1 / count, exact_match: exact / count };
}

/** The best value over a question's gold answers. A question without gold answers scores 1 where the prediction is empty,
 * else 0. */
export function questionScore({ prediction, golds }: AnsweredQuestion): { f1: number; exact_match: number } {
  const accepted = golds.length === 0 ? [''] : golds;
  return {
    f1: Math.max(...accepted.map((gold) => answerF1(prediction, gold))),
    exact_match: accepted.some((gold) => normaliseAnswer(gold) === normaliseAnswer(prediction)) ? 1 : 0,
  };
}

/** F1 of the words that two answers share. */
export function answerF1(prediction: string, gold: string): number {
  const predicted = words(prediction);
  const expected = words(gold);
  if (predicted.length === 0 || expected.length === 0) return predicted.length === expected.length ? 1 : 0;
  const left = new Map<string, number>();
  for (const word of expected) left.set(word, (left.get(word) ?? 0) + 1);
  let shared = 0;
  for (const word of predicted) {
    const count = left.get(word) ?? 0;
    if (count === 0) continue;
    left.set(word, count - 1);
    shared++;
  }
  return (2 * shared) / (predicted.length + expected.length);
}

// Python's \b knows letters of all scripts, JavaScript's only ASCII.
const ARTICLES = /(?<![\p{L}\p{N}_])(?:a|an|the)(?![\p{L}\p{N}_])/gu;
const ASCII_PUNCTUATION = /[!-/:-@[-`{-~]/g;

/** An answer as SQuAD compares it: lower case, without ASCII punctuation, articles and extra spaces. */
export function normaliseAnswer(text: string): string {
  return words(text).join(' ');
}

function words(text: string): string[] {
  const bare = text.toLowerCase().replace(ASCII_PUNCTUATION, '').replace(ARTICLES, ' ');
  return bare.split(/\s+/).filter((word) => word !== '');
}
