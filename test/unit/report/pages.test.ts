// The pages of reports: their data, their bytes, and that nothing a user wrote becomes markup.
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { timeTradeOffs, tradeOffs } from '../../../coordinator/report/campaign-figures.ts';
import { campaignPage } from '../../../coordinator/report/campaign-page.ts';
import {
  shorten,
  showBytes,
  showChange,
  showCount,
  showNumber,
  showSeconds,
} from '../../../coordinator/report/figures.ts';
import { distinctSteps, divergenceBySteps } from '../../../coordinator/report/gradual-figures.ts';
import { escapeText, html } from '../../../coordinator/report/html.ts';
import { jobPage } from '../../../coordinator/report/job-page.ts';
import { drawLineChart, niceTicks } from '../../../coordinator/report/line-chart.ts';
import { PAGE_MARK } from '../../../coordinator/report/page-mark.ts';
import { boxAround, placeLabels } from '../../../coordinator/report/place-labels.ts';
import { qualityByMacs, qualityByStage, qualityByTime } from '../../../coordinator/report/quality-figures.ts';
import { parseReport } from '../../../coordinator/report/read-report.ts';
import { reportedJob, scoreInterval, timedPasses } from '../../../coordinator/report/reported-job.ts';
import { refitByLayer, tuningByLayer } from '../../../coordinator/report/residual-figures.ts';
import { COLOURS, seriesStyle } from '../../../coordinator/report/series-style.ts';
import { importanceByLayer, keptByLayer } from '../../../coordinator/report/structure-figures.ts';
import { speedFigure, stageTimes, workerTimes } from '../../../coordinator/report/time-figures.ts';
import {
  BARE,
  jobOfAllKinds,
  olderReport,
  sampleGradualJob,
  sampleJob,
  sampleLatencyBudget,
  sampleMaxDrop,
  sampleReport,
} from './sample-reports.ts';

const SIX = ['0.9', '0.75', '0.6', '0.5', '0.4', '0.3'];
const EVIL = `</title></style><script>alert("1")</script><img src=x onerror='x'>&amp;\u202e\u0007`;

describe('data behind the charts', () => {
  const job = sampleJob({ budgets: ['0.3', '0.9'] });

  it('puts the budget that keeps most in front, with its share of MACs and the quality after each stage', () => {
    const { table, legend } = qualityByMacs(job)!;
    assert.deepEqual(table.head, [
      'budget',
      'MACs kept',
      'after search',
      'after rearrange',
      'after tune',
      '95 % interval',
    ]);
    assert.deepEqual(
      table.rows.map(([name]) => name),
      ['dense', '0.9', '0.3'],
    );
    assert.deepEqual(table.rows[1].slice(1, 5), ['90.0\u00a0%', '0.9195', '0.9196', '0.9238']);
    assert.deepEqual(
      legend?.map(({ name }) => name),
      ['after tune', 'after rearrange', 'after search'],
    );
  });

  it('leaves out stages that did not run', () => {
    const searched = sampleJob({
      changes: { method: 'search', quality: { dense: 0.9, search: 0.8, rearrange: null, tune: null } },
    });
    assert.deepEqual(
      qualityByMacs(searched)?.legend?.map(({ name }) => name),
      ['after search'],
    );
    assert.deepEqual(qualityByStage(searched)?.table.head, ['budget', 'dense', 'search']);
  });

  it('gives an interval to what counts samples, and to nothing else', () => {
    // Wilson's interval of 80 of 100, as R's binom.confint gives it: 0.7111708 to 0.8666331.
    const counted = {
      metric: 'accuracy',
      task: 'single-label-classification',
      evaluation: { digest: '', rows: 100, truncated: 0 },
    };
    const { low, high } = scoreInterval(counted, 0.8)!;
    assert.ok(Math.abs(low - 0.7111708) < 1e-6 && Math.abs(high - 0.8666331) < 1e-6, `${low} ${high}`);
    assert.equal(scoreInterval({ ...counted, metric: 'f1' }, 0.8), null);
    assert.equal(scoreInterval({ ...counted, task: 'token-classification' }, 0.8), null);
    assert.equal(scoreInterval({ ...counted, evaluation: null }, 0.8), null);
  });

  it('shows every setting of speed with its spread, and the one latency of older reports', () => {
    const measured = sampleJob();
    assert.deepEqual(
      speedFigure(measured)!.table.rows.map((row) => row.slice(1)),
      [
        [
          ...['ONNX Runtime, 8 × 128 tokens, 1 thread', '15', '50.00\u00a0ms (47.50\u00a0ms to 62.50\u00a0ms)'],
          ...['27.50\u00a0ms (26.13\u00a0ms to 34.38\u00a0ms)', '1.82\u00a0×'],
        ],
        [
          ...["Espalier's engine, 8 × 128 tokens, 1 thread", '15', '200\u00a0ms (190\u00a0ms to 250\u00a0ms)'],
          ...['110\u00a0ms (105\u00a0ms to 138\u00a0ms)', '1.82\u00a0×'],
        ],
      ],
    );
    assert.deepEqual(qualityByTime(measured)!.table.rows[0].slice(-1), ['55.0\u00a0%']);
    const [older] = timedPasses(olderReport(sampleReport(0.5)));
    assert.deepEqual([older.setting, older.pruned.p10], ["Espalier's engine, 8 × 128 tokens", null]);
  });

  it('sums heads and neurons, shares of importance, seconds and tasks', () => {
    const { table } = keptByLayer(job, 'heads', 12);
    const [name, ...cells] = table.rows[0].map(Number);
    assert.equal(name, 0.9);
    assert.equal(
      cells.slice(0, -1).reduce((sum, kept) => sum + kept, 0),
      cells.at(-1),
    );
    const shares = importanceByLayer(job)!.table.rows.map((row) => Number.parseFloat(String(row[2])));
    assert.ok(Math.abs(shares.reduce((sum, share) => sum + share, 0) - 100) < 0.6);
    assert.equal(tuningByLayer(job)!.table.rows.length, 2 * 24);
    assert.deepEqual(workerTimes(job)!.table.rows[0], [
      '1',
      '40',
      '10.5\u00a0s',
      '21.3\u00a0s',
      '44.0\u00a0s',
      '0\u00a0ms',
      '75.8\u00a0s',
    ]);
    assert.equal(stageTimes(job).table.rows.length, 2);
  });

  it('has every step of a gradual job once, with the budgets that end there', () => {
    const gradual = sampleGradualJob({ budgets: ['0.45', '0.5', '0.3'] });
    assert.deepEqual(
      distinctSteps(gradual).map(({ step, budgets }) => [step.share, budgets.join()]),
      [
        ...[0.8, 0.65].map((share) => [share, '']),
        ...[0.5, 0.45].map((share) => [share, String(share)]),
        ...[0.4, 0.35].map((share) => [share, '']),
        [0.3, '0.3'],
      ],
    );
    const { table, legend, text } = divergenceBySteps(gradual)!;
    assert.equal(legend?.length, 1);
    assert.match(text.text, /Kullback-Leibler divergence .* logarithmic/s);
    const [name, budget, kept, , , divergence, gradients, search, refit, , whole] = table.rows[3];
    assert.deepEqual([name, kept, divergence], ['45.0\u00a0% of MACs', '45.0\u00a0%', '0.0168']);
    assert.deepEqual([gradients, search, refit], ['1.3\u00a0s', '2\u00a0ms', '2.5\u00a0s']);
    assert.deepEqual([whole, budget, table.rows[4][1]], ['4.0\u00a0s', '0.45', '–']);
    assert.equal(refitByLayer(gradual)!.table.rows.length, 3 * 24);
    assert.deepEqual(refitByLayer(gradual)!.table.rows[1], [
      ...['layer 0 ffn', '0.5', '1536', 'ridge 0.01', '2', '0.6', '0.27'],
    ]);
    // Inputs that were refitted have rows of their own, and no points among those of outputs.
    const [{ report }] = gradual.budgets;
    const [first, ...rest] = report.steps!.at(-1)!.refits;
    const parts = (['input', 'query', 'key_value'] as const).map((part) => ({ ...first, part }));
    const steps = [
      { ...report.steps![0], refits: [...parts, { ...parts[0], subLayer: 'ffn' as const }, first, ...rest] },
    ];
    const all = refitByLayer({ ...gradual, budgets: [{ ...gradual.budgets[0], report: { ...report, steps } }] })!;
    assert.deepEqual(
      all.table.rows.slice(0, 5).map(([place]) => place),
      [
        'layer 0 attention: query, key and value',
        'layer 0 attention: query',
        'layer 0 attention: key and value',
        'layer 0 ffn: first projection',
        'layer 0 attention',
      ],
    );
    const drawn = (figure: typeof all) => figure.panels.map(({ draw }) => draw(400).text);
    assert.deepEqual(drawn(all), drawn(refitByLayer({ ...gradual, budgets: [gradual.budgets[0]] })!));
    assert.deepEqual(
      qualityByMacs(gradual)!.legend?.map(({ name: series }) => series),
      ['pruned gradually'],
    );
    assert.equal(qualityByStage(gradual), null);
    assert.equal(tuningByLayer(gradual), null);
    // Seven steps, and not the 3 + 4 + 6 that the budgets have one by one.
    assert.match(stageTimes(gradual).text.text, /summed over the\n7 steps/);
    assert.deepEqual(stageTimes(gradual).table.rows[0].slice(0, 3), ['0.5', '1.0\u00a0s', '12.0\u00a0s']);
  });

  it('of a gradual regression tells of squared differences, and of nothing held out what it is', () => {
    const [{ name, report }] = sampleGradualJob({ budgets: ['0.5'], changes: { task: 'regression' } }).budgets;
    const steps = report.steps!.map((step) => ({ ...step, divergence: null }));
    const figure = divergenceBySteps(reportedJob(name, [{ name, report: { ...report, steps } }]))!;
    assert.match(figure.text.text, /Mean squared difference/);
    assert.equal(figure.panels.length, 0);
    assert.equal(figure.table.rows[0][5], 'nothing held out');
    assert.equal(divergenceBySteps(sampleJob()), null);
    assert.equal(refitByLayer(sampleJob()), null);
  });

  it('joins jobs that differ in their seed alone, and tells apart by what differs otherwise', () => {
    const jobs = [0, 1, 2].map((seed) => ({ name: `seed-${seed}`, job: sampleJob({ seed }) }));
    const other = { name: 'reference', job: sampleJob({ changes: { damping: 'reference' } }) };
    const { panels, table } = tradeOffs([...jobs, other])!;
    assert.equal(panels.length, 1);
    assert.deepEqual(
      table.rows.map((row) => row[1]),
      ['damping ridge', 'damping reference'],
    );
    // 0.92 and something, less 0.5³ / 4, less 0, 1 or 2 times 0.002.
    assert.deepEqual(table.rows[0].slice(4), ['0.8908', '0.8888', '0.8928']);
  });
});

describe('parts of charts', () => {
  it('name every line of a logarithmic axis', () => {
    const points = [0.00002, 0.0004, 0.009].map((y, x) => ({ x, y }));
    const axes = { x: { title: 'x (1)' }, y: { title: 'y (nats)' } };
    const { text } = drawLineChart(
      { name: 'n', ...axes, series: [{ name: 's', style: 0, points }], isLogarithmic: true },
      780,
    );
    const [, ticks = ''] = /aria-label="y-axis tick label"[^>]*>(.*?)<\/g>/s.exec(text) ?? [];
    assert.deepEqual(
      [...ticks.matchAll(/<text[^>]*>([^<]*)</g)].map(([, label]) => label),
      ['2e-5', '5e-5', '1e-4', '2e-4', '5e-4', '0.001', '0.002', '0.005', '0.01'],
    );
  });

  it('have round ticks within their domain', () => {
    assert.deepEqual(niceTicks([0.8123, 0.9311], 5), [0.82, 0.84, 0.86, 0.88, 0.9, 0.92]);
    assert.deepEqual(niceTicks([-3, 107], 5), [0, 20, 40, 60, 80, 100]);
  });

  it('place labels where they cover nothing, and leave out what fits nowhere', () => {
    const frame = { left: 0, top: 0, right: 100, bottom: 60 };
    const points = [20, 24, 28, 32, 36, 40, 44, 48].map((x) => ({ x, y: 30, text: `${x}`, width: 30 }));
    const placed = placeLabels(
      points,
      points.map(({ x, y }) => boxAround(x, y, 10, 10)),
      frame,
      14,
    );
    const boxes = placed.map(({ x, y }) => boxAround(x, y, 30, 14));
    assert.ok(placed.length >= 2 && placed.length < points.length);
    for (const [i, a] of boxes.entries())
      for (const b of boxes.slice(i + 1))
        assert.ok(a.right <= b.left || b.right <= a.left || a.bottom <= b.top || b.bottom <= a.top);
  });

  it('tell series apart without colour', () => {
    const styles = Array.from({ length: 35 }, (_, index) => seriesStyle(index));
    assert.equal(new Set(styles.map(({ symbol, dash }) => `${symbol} ${dash}`)).size, 35);
    assert.equal(new Set(styles.map(({ colour }) => colour)).size, COLOURS);
  });

  it('show numbers in fixed forms', () => {
    assert.deepEqual(
      [showCount(11174215680), showBytes(437_991_240), showChange(-0.012), showChange(0.00001), showSeconds(104)],
      ['11.17\u00a0G', '438.0\u00a0MB', '−0.0120', '0.0000', '1\u00a0min\u00a044\u00a0s'],
    );
    assert.deepEqual([showNumber(0.000123), showNumber(12.345), showNumber(0)], ['1.23e-4', '12.3', '0']);
    assert.equal(shorten('a-very-long-name-seed-0', 13), 'a-very…seed-0');
  });
});

describe('pages', () => {
  const page = jobPage(sampleJob({ budgets: SIX }));

  it('are the same bytes for the same reports, in whatever order', () => {
    const { name, budgets } = sampleJob({ budgets: SIX });
    assert.equal(jobPage(reportedJob(name, budgets.toReversed())), page);
    const jobs = ['b', 'a'].map((name) => ({ name, job: sampleJob(), page: null }));
    assert.equal(campaignPage('two', jobs), campaignPage('two', jobs.toReversed()));
  });

  it('ask for nothing and run nothing', () => {
    assert.ok(page.startsWith(PAGE_MARK));
    assert.match(page, /Content-Security-Policy" content="default-src &#39;none&#39;; style-src &#39;sha256-/);
    assert.doesNotMatch(page, /<script|<link|<img|<iframe|@import|url\(|\sstyle=|\son[a-z]+=|href="[^#]|src=/);
    assert.ok(Buffer.byteLength(page) < 400_000, `${Buffer.byteLength(page)} bytes`);
  });

  it('take no text of users or files for markup', () => {
    const changes = {
      ...{ model: { name: EVIL, digest: EVIL, type: EVIL }, task: EVIL, plan: EVIL, deviceClass: { [EVIL]: EVIL } },
      ...{ data: { name: EVIL, digest: EVIL, rows: 1, truncated: 0 }, command: ['prune', EVIL], digest: EVIL },
      metric: EVIL,
      maxDrop: { ...sampleMaxDrop(), metric: EVIL },
      latencyBudget: sampleLatencyBudget({
        ...{ runtime: EVIL, machine: EVIL },
        table: { source: 'given', runtime: EVIL, device: `${EVIL} 2`, threads: 2 },
      }),
      workerTimes: [{ worker: 1, tasks: 1, seconds: { [EVIL]: 1 } }],
    };
    const job = sampleJob({ changes });
    const budgets = [...job.budgets, { name: EVIL, report: sampleReport(0.4, { changes }) }];
    const pages = [
      jobPage({ name: EVIL, budgets }),
      campaignPage(EVIL, [{ name: EVIL, job: { name: EVIL, budgets }, page: [EVIL] }]),
    ];
    for (const written of pages) {
      assert.deepEqual(written.match(/.{0,80}(<script|<img).{0,20}/), null);
      assert.equal(written.match(/<\/title>/g)?.length, 1);
      assert.equal(written.match(/<\/style>/g)?.length, 1);
      // biome-ignore lint/suspicious/noControlCharactersInRegex: what must not be there
      assert.doesNotMatch(written, /[\u202e\u0007]/);
    }
  });

  it('show what was tried for an allowed loss', () => {
    const written = jobPage(sampleJob({ changes: { maxDrop: sampleMaxDrop() } }));
    assert.match(
      written,
      /loses at most 0\.01 of accuracy, by the bound of the loss, judged on\n512 calibration samples/,
    );
    const cells = '<td>30.0\u00a0%</td><td>0.9000</td><td>−0.0200</td><td>0.0240</td><td>no</td>';
    assert.ok(written.includes(`<th scope="row">tried</th>${cells}`));
    const charts = written.match(/<svg[^>]*aria-label="Loss of accuracy over the share of MACs kept.+?<\/svg>/gs) ?? [];
    assert.equal(charts.length, 2, 'for wide screens and for narrow ones');
    for (const chart of charts) {
      const [dots = ''] = chart.match(/<g[^>]*aria-label="dot".+?<\/g>/s) ?? [];
      assert.equal(dots.match(/<circle/g)?.length, 2, 'a symbol a candidate');
      for (const text of ['0.01 allowed', '>written<']) assert.ok(chart.includes(text), text);
    }
    assert.ok(!page.includes('Allowed loss'));
  });

  it('show the latency table that a search by time went by, where the report has it', () => {
    const written = jobPage(jobOfAllKinds());
    assert.match(written, /one layer's attention takes by its heads, .+ in ONNX Runtime at\n8 × 128\./);
    assert.ok(written.includes('<th scope="row">attention</th><td>12</td><td>1.60\u00a0ms</td>'));
    assert.ok(written.includes('<th scope="row">FFN</th><td>768</td><td>0.77\u00a0ms</td>'));
    const { seconds, ...older } = sampleLatencyBudget().table;
    const changes = { latencyBudget: sampleLatencyBudget({ table: older }) };
    assert.ok(!jobPage(sampleJob({ changes })).includes('Latency table'));
  });

  it('show what a budget of time asked for, what was predicted and measured, and each round', () => {
    const written = jobPage(jobOfAllKinds());
    const row = (name: string, cells: readonly string[]) =>
      `<th scope="row">${name}</th>${cells.map((cell) => `<td>${cell}</td>`).join('')}`;
    for (const expected of [
      row('latency-0.6', ['60.0\u00a0%', '54.3\u00a0%', '61.3\u00a0%', '+2.1\u00a0%', 'yes']),
      row('latency-12ms', ['12.00\u00a0ms', '54.3\u00a0%', 'not measured', '–', 'nothing here can tell']),
      row('1', ['60.0\u00a0%', '59.9\u00a0%', '50.00\u00a0ms', '33.00\u00a0ms', '66.0\u00a0%', '+10.0\u00a0%']),
      row('2', ['54.5\u00a0%', '54.3\u00a0%', '50.00\u00a0ms', '29.40\u00a0ms', '58.8\u00a0%', '−2.0\u00a0%']),
      '<th scope="col">within 5\u00a0%</th>',
      'kept from an earlier run: onnxruntime 1.2.3 on AMD EPYC 9654, 8 cores, the machine that measured.',
      'a file that was given: onnxruntime 1.2.3 on a telephone, 4 cores. It was taken at its word',
      'No round was measured.',
    ])
      assert.ok(written.includes(expected), expected);
    const missed = sampleLatencyBudget({ measuredByGoal: 1.08, met: false });
    const cells = ['60.0\u00a0%', '54.3\u00a0%', '64.8\u00a0%', '+8.0\u00a0%', 'no'];
    assert.ok(jobPage(sampleJob({ changes: { latencyBudget: missed } })).includes(row('0.5', cells)));
    assert.ok(!page.includes('Budgets of time'));
  });

  it('judge a job with budgets of time in their setting, and show quality over time first', () => {
    const latencyBudget = sampleLatencyBudget({ runtime: 'engine' });
    const written = jobPage(sampleJob({ changes: { latencyBudget } }));
    assert.match(written, /forward pass: Espalier&#39;s engine, 8 × 128 tokens, 1 thread/);
    assert.ok(written.indexOf('<h3>Quality against time') < written.indexOf('<h3>Quality against MACs'));
    assert.ok(page.indexOf('<h3>Quality against time') > page.indexOf('<h3>Quality against MACs'));
  });

  it('compare jobs with budgets of time over time, apart by setting, and leave out the others', () => {
    const jobs = [
      { name: 'all', job: jobOfAllKinds() },
      { name: 'macs', job: sampleJob() },
      { name: 'engine', job: sampleJob({ changes: { latencyBudget: sampleLatencyBudget({ runtime: 'engine' }) } }) },
    ];
    const { panels, table } = timeTradeOffs(jobs)!;
    assert.deepEqual(
      panels.map(({ title }) => title?.replace('bert-base-sst2 on dev.jsonl, ', '')),
      [
        'ONNX Runtime, 8 × 128 tokens on AMD EPYC 9654, 8 cores',
        "Espalier's engine, 8 × 128 tokens on AMD EPYC 9654, 8 cores",
      ],
    );
    // Of each, 0.1 and 0.9 times the share of MACs.
    assert.deepEqual(
      table.rows.map((row) => row.slice(2, 4)),
      [
        ['max-drop-0.01', '73.0\u00a0%'],
        ['latency-0.6', '59.5\u00a0%'],
        ['0.5', '55.0\u00a0%'],
        ['latency-12ms', '37.0\u00a0%'],
        ['0.5', '55.0\u00a0%'],
      ],
    );
    assert.equal(timeTradeOffs([jobs[1]]), null);
    const linked = jobs.map((job) => ({ ...job, page: null }));
    assert.ok(campaignPage('x', linked).includes('Quality against time, by model'));
    assert.ok(!campaignPage('x', [linked[1]]).includes('Quality against time, by model'));
  });

  it('are made of budgets of all kinds as files hold them, and of none that tell something else', () => {
    for (const { report } of jobOfAllKinds().budgets)
      assert.deepEqual(parseReport(JSON.stringify(report), 'a'), JSON.parse(JSON.stringify(report)));
    const wrong = { ...sampleReport(0.5), latencyBudget: { ...sampleLatencyBudget(), value: 'half' } };
    assert.throws(() => parseReport(JSON.stringify(wrong), 'a'), {
      code: 'data_format',
      message: /got \/latencyBudget\/value that must be number/,
    });
    const lost = { ...sampleReport(0.5), maxDrop: { ...sampleMaxDrop(), candidates: [{}] } };
    assert.throws(() => parseReport(JSON.stringify(lost), 'a'), /got \/maxDrop\/candidates\/0 that must have/);
  });

  it('say what is not there, of a job that measured nothing or of an older version', () => {
    const bare = jobPage(sampleJob({ changes: BARE }));
    for (const text of ['Quality was not measured', 'No forward pass was timed', 'Nothing was tuned'])
      assert.ok(bare.includes(text));
    const { name, budgets } = sampleJob({ budgets: SIX });
    const older = jobPage({ name, budgets: budgets.map((found) => ({ ...found, report: olderReport(found.report) })) });
    assert.ok(older.includes('does not tell the command') && !older.includes('Importance by layer'));
    assert.ok(
      campaignPage('x', [{ name: 'bare', job: sampleJob({ changes: BARE }), page: null }]).includes(
        'No job measured quality',
      ),
    );
  });
});

describe('html', () => {
  it('escapes values, and only those', () => {
    assert.equal(html`<b title="${'"<'}">${['a', html`<i>`]}${null}${1}</b>`.text, '<b title="&quot;&lt;">a<i>1</b>');
    assert.equal(escapeText('\ud800a\u0000'), '\ufffda\ufffd');
  });
});
