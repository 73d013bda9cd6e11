// Pages in a real browser: nothing is asked for, no labels lie over each other, axes have names with units, and the page can be
// read dark, printed, narrow and by keyboard.
import assert from 'node:assert/strict';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, before, describe, it } from 'node:test';
import type { Page } from 'playwright-core';
import { campaignPage } from '../../../coordinator/report/campaign-page.ts';
import { jobPage } from '../../../coordinator/report/job-page.ts';
import { findChromium, type OpenBrowser, openChromium } from '../../support/chromium.ts';
import { BARE, jobOfAllKinds, sampleGradualJob, sampleJob } from '../../unit/report/sample-reports.ts';

const LONG = 'a-model-with-a-name-that-goes-on-and-on-and-is-finetuned-for-everything-at-once-2024-final-2';
const SIX = ['0.9', '0.75', '0.6', '0.5', '0.4', '0.3'];
const named = (name: string) => ({ model: { name, digest: name, type: 'bert' } });
const campaign = Array.from({ length: 30 }, (_, i) => ({
  name: i % 5 === 4 ? `${LONG.slice(0, 90)}-${i}` : `job-${i}`,
  job: sampleJob({
    seed: i % 3,
    budgets: ['0.7', '0.5', '0.3'],
    changes: i % 7 === 6 ? BARE : named(`model-${i % 4}`),
  }),
  page: [`job-${i}`, 'report.html'],
}));

const PAGES: Readonly<Record<string, string>> = {
  'one budget': jobPage(sampleJob()),
  'six budgets, 24 layers': jobPage(sampleJob({ budgets: SIX, layers: 24 })),
  'a long name': jobPage(sampleJob({ budgets: ['0.5', '0.3'], layers: 2, changes: named(LONG.repeat(2)) })),
  'budgets of all kinds': jobPage(jobOfAllKinds()),
  'gradual, three budgets, 24 layers': jobPage(sampleGradualJob({ budgets: ['0.5', '0.45', '0.2'], layers: 24 })),
  'gradual, one budget': jobPage(sampleGradualJob({ budgets: ['0.8'] })),
  'nothing measured': jobPage(sampleJob({ changes: BARE })),
  'markup for names': jobPage(sampleJob({ changes: named('<script>alert(1)</script>"\'&') })),
  'a campaign of 30 jobs': campaignPage('thirty <jobs>', campaign),
  'methods, compared': campaignPage(
    'methods',
    ['one', 'two'].flatMap((name) => [
      { name: `${name}-paper`, job: sampleJob({ budgets: ['0.5', '0.3'], changes: named(name) }), page: null },
      { name: `${name}-gradual`, job: sampleGradualJob({ budgets: ['0.5', '0.3'], changes: named(name) }), page: null },
    ]),
  ),
  'budgets of all kinds, compared': campaignPage(
    'kinds',
    [0, 1].map((i) => ({ name: `kinds-${i}`, job: jobOfAllKinds(), page: null })),
  ),
};

const chromium = findChromium();

describe('pages in Chromium', { skip: chromium === null && 'no Chromium; ESPALIER_CHROMIUM names one' }, () => {
  let browser: OpenBrowser;
  let folder = '';
  before(async () => {
    folder = await mkdtemp(path.join(tmpdir(), 'espalier-pages-'));
    browser = await openChromium(chromium ?? '');
  });
  after(async () => {
    await browser?.close();
    await rm(folder, { recursive: true, force: true });
  });

  async function opened<Result>(name: string, width: number, look: (page: Page) => Promise<Result>): Promise<Result> {
    const file = path.join(folder, `${name.replaceAll(' ', '-')}.html`);
    await writeFile(file, PAGES[name]);
    const page = await browser.context.newPage();
    const told: string[] = [];
    page.on('console', (message) => told.push(message.text()));
    page.on('pageerror', (error) => told.push(error.message));
    page.on('dialog', (dialog) => told.push(dialog.message()));
    page.on('request', (request) => {
      if (request.url() !== `file://${file}`) told.push(request.url());
    });
    try {
      await page.setViewportSize({ width, height: 900 });
      await page.goto(`file://${file}`);
      const result = await look(page);
      assert.deepEqual(told, [], `${name}: said or asked for something`);
      return result;
    } finally {
      await page.close();
    }
  }

  for (const name of Object.keys(PAGES)) {
    for (const width of [1000, 400])
      it(`${name}, ${width} px: labels apart and inside, axes named with units, no scrolling of the page`, async () => {
        const found = await opened(name, width, (page) => page.evaluate(chartsOf));
        assert.ok(found.charts.length > 3);
        for (const { label, axes, overlaps, outside } of found.charts) {
          assert.deepEqual([overlaps, outside], [[], []], label);
          assert.equal(axes.length, 2, label);
          for (const title of axes) assert.match(title, /^\S.* \(.+\)$/, label);
        }
        assert.ok(found.pageWidth <= width, `${found.pageWidth} px`);
      });
  }

  it('headings are in order, and every chart has a name and a table', async () => {
    for (const name of Object.keys(PAGES)) {
      const { levels, unnamed, tables } = await opened(name, 1000, (page) => page.evaluate(outlineOf));
      assert.equal(levels[0], 1);
      for (const [i, level] of levels.entries())
        assert.ok(i === 0 || (level > 1 && level <= levels[i - 1] + 1), `${name}: ${levels}`);
      assert.deepEqual([unnamed, tables], [0, 0], name);
    }
  });

  it('the keyboard reaches the skip link first, then sections, then each table, in the order of the page', async () => {
    await opened('six budgets, 24 layers', 1000, async (page) => {
      const order: string[] = [];
      let bottom = Number.NEGATIVE_INFINITY;
      for (let i = 0; i < 60; i++) {
        await page.keyboard.press('Tab');
        const at = await page.evaluate(focusedOf);
        if (at === null) break;
        // The skip link lies over the page's top.
        if (i > 0) assert.ok(at.top >= bottom - 60, `${at.name} comes after what is below it`);
        bottom = Math.max(bottom, at.top);
        assert.ok(at.isOutlined, `${at.name} shows no focus`);
        order.push(at.name);
      }
      assert.equal(order[0], 'Skip to the results');
      assert.deepEqual(order.slice(1, 4), ['Results', 'Quality', 'What was kept']);
      for (const name of ['Quality against MACs: table', 'Residual by layer: table', 'Time by worker: table'])
        assert.ok(order.includes(name), `${name} among ${order.join(', ')}`);
    });
  });

  it('a table opens by the keyboard and can be scrolled', async () => {
    await opened('six budgets, 24 layers', 1000, async (page) => {
      await page.locator('summary', { hasText: 'FFN neurons kept: table' }).focus();
      await page.keyboard.press('Enter');
      const region = page.locator('details[open] .scroll');
      assert.equal(await region.count(), 1);
      await region.focus();
      await page.keyboard.press('ArrowRight');
      await page.waitForFunction(
        () => (document.querySelector('details[open] .scroll') as HTMLElementLike).scrollLeft > 0,
      );
    });
  });

  it('text stands out from its ground, light and dark, and dark differs', async () => {
    const grounds = new Set<string>();
    for (const colorScheme of ['light', 'dark'] as const)
      await opened('one budget', 1000, async (page) => {
        await page.emulateMedia({ colorScheme });
        const { ground, lowest, worst } = await page.evaluate(contrastOf);
        grounds.add(ground);
        assert.ok(lowest >= 4.5, `${colorScheme}: ${lowest.toFixed(2)} of ${worst}`);
      });
    assert.equal(grounds.size, 2);
  });

  it('paper has the tables and the wide charts, dark letters, and nothing cut off', async () => {
    await opened('six budgets, 24 layers', 690, async (page) => {
      await page.emulateMedia({ media: 'print', colorScheme: 'dark' });
      const shown = await page.evaluate(printedOf);
      assert.deepEqual(shown, { hiddenTables: 0, narrow: 0, nav: false, ground: 'rgb(255, 255, 255)' });
      const pdf = await page.pdf({ format: 'A4' });
      assert.ok(pdf.subarray(0, 5).toString() === '%PDF-' && pdf.length > 20_000);
    });
  });
});

// What follows runs in the page.

interface BoxLike {
  readonly left: number;
  readonly right: number;
  readonly top: number;
  readonly bottom: number;
  readonly width: number;
}
interface HTMLElementLike {
  readonly textContent: string;
  readonly tagName: string;
  readonly scrollLeft: number;
  readonly scrollWidth: number;
  readonly clientHeight: number;
  getBoundingClientRect(): BoxLike;
  getAttribute(name: string): string | null;
  querySelectorAll(selector: string): Iterable<HTMLElementLike>;
  querySelector(selector: string): HTMLElementLike | null;
  closest(selector: string): HTMLElementLike | null;
}
declare const document: {
  readonly documentElement: HTMLElementLike;
  readonly body: HTMLElementLike;
  readonly activeElement: HTMLElementLike | null;
  querySelectorAll(selector: string): Iterable<HTMLElementLike>;
  querySelector(selector: string): HTMLElementLike | null;
};
declare function getComputedStyle(element: HTMLElementLike): Readonly<Record<string, string>>;
declare const scrollY: number;

/** Every chart that is shown: its axes, labels that lie over others, labels that leave the drawing. */
function chartsOf() {
  const charts = [];
  for (const svg of document.querySelectorAll('.chart svg')) {
    const frame = svg.getBoundingClientRect();
    if (frame.width === 0) continue;
    const texts = [...svg.querySelectorAll('text')].map((text) => ({
      text: text.textContent,
      box: text.getBoundingClientRect(),
    }));
    const over = (a: BoxLike, b: BoxLike) =>
      a.left < b.right - 0.5 && b.left < a.right - 0.5 && a.top < b.bottom - 2.5 && b.top < a.bottom - 2.5;
    const overlaps = texts.flatMap((a, i) =>
      texts.slice(i + 1).flatMap((b) => (over(a.box, b.box) ? [`${a.text} over ${b.text}`] : [])),
    );
    const outside = texts.flatMap(({ text, box }) =>
      box.left < frame.left - 1 ||
      box.right > frame.right + 1 ||
      box.top < frame.top - 1 ||
      box.bottom > frame.bottom + 1
        ? [text]
        : [],
    );
    const axes = [...svg.querySelectorAll('[aria-label="x-axis label"], [aria-label="y-axis label"]')].map(
      (axis) => axis.textContent,
    );
    charts.push({ label: svg.getAttribute('aria-label') ?? '', axes, overlaps, outside });
  }
  return { charts, pageWidth: document.documentElement.scrollWidth };
}

function outlineOf() {
  const levels = [...document.querySelectorAll('h1, h2, h3, h4')].map(({ tagName }) => Number(tagName.slice(1)));
  const svgs = [...document.querySelectorAll('.chart svg')];
  const unnamed = svgs.filter((svg) => svg.getAttribute('role') !== 'img' || !svg.getAttribute('aria-label')).length;
  const tables = [...document.querySelectorAll('figure')].filter(
    (figure) => figure.querySelector('details table caption') === null,
  ).length;
  return { levels, unnamed, tables };
}

function focusedOf() {
  const element = document.activeElement;
  if (element === null || element === document.body) return null;
  const style = getComputedStyle(element);
  return {
    name: element.textContent,
    top: element.getBoundingClientRect().top + scrollY,
    isOutlined: style.outlineStyle !== 'none' && Number.parseFloat(style.outlineWidth) >= 2,
  };
}

/** The least contrast of text with what is behind it (WCAG 2). */
function contrastOf() {
  const channels = (colour: string) => (colour.match(/[\d.]+/g) ?? []).map(Number);
  const luminance = (colour: string) => {
    const [r, g, b] = channels(colour).map((value) => {
      const share = value / 255;
      return share <= 0.03928 ? share / 12.92 : ((share + 0.055) / 1.055) ** 2.4;
    });
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const behind = (element: HTMLElementLike): string => {
    const colour = getComputedStyle(element).backgroundColor;
    const isClear = channels(colour)[3] === 0;
    const parent = isClear ? element.closest('li, pre, body') : null;
    if (!isClear) return colour;
    return getComputedStyle(parent ?? document.body).backgroundColor.endsWith(', 0)')
      ? getComputedStyle(document.body).backgroundColor
      : getComputedStyle(parent ?? document.body).backgroundColor;
  };
  let lowest = 21;
  let worst = '';
  for (const element of document.querySelectorAll(
    'p, h1, h2, h3, h4, a, th, td, caption, summary, dt, dd, li span, li b, code, svg text',
  )) {
    const style = getComputedStyle(element);
    const isDrawn = element.tagName === 'text';
    const [a, b] = [luminance(isDrawn ? style.fill : style.color), luminance(behind(element))];
    const contrast = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
    if (contrast < lowest) {
      lowest = contrast;
      worst = element.textContent;
    }
  }
  return { ground: getComputedStyle(document.body).backgroundColor, lowest, worst };
}

function printedOf() {
  const isShown = (element: HTMLElementLike) => element.getBoundingClientRect().width > 0;
  return {
    hiddenTables: [...document.querySelectorAll('table')].filter((table) => !isShown(table)).length,
    narrow: [...document.querySelectorAll('.chart.narrow')].filter(isShown).length,
    nav: isShown(document.querySelector('nav') as HTMLElementLike),
    ground: getComputedStyle(document.body).backgroundColor,
  };
}
