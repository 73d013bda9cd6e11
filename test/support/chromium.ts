// A headless Chromium for tests, where one is installed: ESPALIER_CHROMIUM, or one of the usual places.
import { existsSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import type { BrowserContext } from 'playwright-core';

const PLACES = ['/usr/bin/chromium', '/usr/bin/chromium-browser', '/usr/bin/google-chrome'];
/** It is to show pages that are there and to ask nobody for anything. */
const FLAGS = [
  ...['--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking'],
  ...['--disable-component-update', '--disable-sync'],
];

/** Null: there is none. With ESPALIER_BROWSER_TESTS=1 that is an error, since the tests were asked for. */
export function findChromium(env = process.env): string | null {
  const found = [env.ESPALIER_CHROMIUM ?? '', ...PLACES].find((place) => place !== '' && existsSync(place)) ?? null;
  if (found === null && env.ESPALIER_BROWSER_TESTS === '1')
    throw new Error(`no Chromium: got none of ESPALIER_CHROMIUM, ${PLACES.join(', ')}; install one or name it`);
  return found;
}

export interface OpenBrowser {
  readonly context: BrowserContext;
  close(): Promise<void>;
}

/** Starts it with a profile of its own, which goes when it is closed. */
export async function openChromium(executablePath: string): Promise<OpenBrowser> {
  const { chromium } = await import('playwright-core');
  const profile = await mkdtemp(path.join(tmpdir(), 'espalier-chromium-'));
  const context = await chromium.launchPersistentContext(profile, { executablePath, headless: true, args: FLAGS });
  return {
    context,
    async close() {
      await context.close();
      await rm(profile, { recursive: true, force: true });
    },
  };
}
