// The curves as a person reads them: a table each, in a terminal and in Markdown.
import { digits } from '../gpu/table.ts';
import { type Curve, type CurvePoint, type Growth, type GrowthFigures, growthOf, STAGES } from './figures.ts';

const X_NAMES: Readonly<Record<Curve['axis'], string>> = {
  samples: 'samples',
  tokens: 'tokens a sample',
  layers: 'layers',
  workers: 'workers',
  simulated: 'simulated workers',
};

interface Column {
  readonly name: string;
  value(point: CurvePoint): number | null | undefined;
}

const COLUMNS: readonly Column[] = [
  ...STAGES.map((stage): Column => ({ name: `${stage} s`, value: ({ seconds }) => seconds[stage] })),
  { name: 'workers CPU s', value: ({ cpuSeconds }) => cpuSeconds.workers },
  { name: 'coordinator CPU s', value: ({ cpuSeconds }) => cpuSeconds.coordinator },
  { name: 'coordinator MB', value: ({ coordinatorPeakBytes }) => coordinatorPeakBytes / 1e6 },
  { name: 'MB in', value: ({ bytes }) => bytes && bytes.in / 1e6 },
  { name: 'MB out', value: ({ bytes }) => bytes && bytes.out / 1e6 },
];

export function curveText(curve: Curve): string {
  const rows = tableOf(curve);
  const widths = rows[0].map((_, column) => Math.max(...rows.map((row) => row[column].length)));
  return rows.map((row) => row.map((cell, i) => cell.padStart(widths[i])).join('  ')).join('\n');
}

export function markdownOf({ machine, curves }: GrowthFigures): string {
  const parts = curves.map((curve) => {
    const [head, ...rows] = tableOf(curve);
    const line = (cells: readonly string[]) => `| ${cells.join(' | ')} |`;
    return [line(head), line(head.map(() => '---')), ...rows.map(line)].join('\n');
  });
  return `${machine}\n\n${parts.join('\n\n')}\n`;
}

/** Columns that have values; below the points their exponents (figures.ts). */
function tableOf({ axis, points }: Curve): string[][] {
  const columns = COLUMNS.filter(({ value }) => points.some((point) => isNumber(value(point))));
  const cell = (value: number | null | undefined) => (isNumber(value) ? digits(value) : '-');
  const exponents = (part: keyof Growth) =>
    columns.map(({ value }) => growthOf(points, value)?.[part]?.toFixed(2) ?? '-');
  return [
    [X_NAMES[axis], ...columns.map(({ name }) => name)],
    ...points.map((point) => [`${point.x}`, ...columns.map(({ value }) => cell(value(point)))]),
    ['exponent', ...exponents('whole')],
    ['above the first', ...exponents('above')],
  ];
}

const isNumber = (value: number | null | undefined): value is number => value !== null && value !== undefined;
