// What an expression of PromQL asks for, read with Prometheus' own grammar.
import { parser } from '@prometheus-io/lezer-promql';

export interface Matcher {
  readonly label: string;
  readonly operator: string;
  readonly value: string;
}

export interface Selector {
  readonly metric: string;
  readonly matchers: readonly Matcher[];
}

export interface ParsedQuery {
  readonly selectors: readonly Selector[];
  /** Labels of by, without, on, ignoring and group_left. */
  readonly groupingLabels: readonly string[];
}

/** Grafana's variables of durations become durations: its other variables are inside of strings.
 * @throws Error when the expression does not follow the grammar. */
export function parsePromql(expression: string): ParsedQuery {
  const text = withoutVariables(expression);
  const selectors: { metric: string; matchers: Matcher[] }[] = [];
  const groupingLabels: string[] = [];
  let matcher: { label: string; operator: string } | null = null;
  parser.parse(text).iterate({
    enter({ type, node, from, to }) {
      const word = text.slice(from, to);
      if (type.isError) throw new Error(`no PromQL at "${text.slice(from, from + 20)}": ${text}`);
      if (type.name === 'VectorSelector') selectors.push({ metric: '', matchers: [] });
      else if (type.name === 'Identifier' && node.parent?.name === 'VectorSelector') selectors.at(-1)!.metric = word;
      else if (type.name === 'LabelName' && node.parent?.name === 'GroupingLabels') groupingLabels.push(word);
      else if (type.name === 'LabelName') matcher = { label: word, operator: '' };
      else if (type.name === 'MatchOp') matcher!.operator = word;
      else if (type.name === 'StringLiteral' && node.parent?.name === 'UnquotedLabelMatcher')
        selectors.at(-1)!.matchers.push({ ...matcher!, value: word.slice(1, -1) });
    },
  });
  return { selectors, groupingLabels };
}

/** The expression as Prometheus takes it. */
export function withoutVariables(expression: string): string {
  return expression.replaceAll('$__rate_interval', '5m').replace(/\$(namespace|instance)\b/g, '.*');
}
