import { appendFileSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import type { Browser, BrowserContextOptions, Page } from 'playwright-core';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { Runs } from '../../dashboard/runs.ts';
import { Dashboard } from '../../dashboard/server.ts';
import { takeLease } from '../../study/journal/lease.ts';
import { hasChromium, launchChromium, openPage } from './chromium.ts';
import { type GrowingJournal, journalOf } from './journals.ts';

describe.skipIf(!hasChromium)('the page in a real browser', () => {
  let browser: Browser;
  let runs: string;
  let journal: GrowingJournal;
  let release: () => void;
  let dashboard: Dashboard;
  let page: Page;
  /** What went wrong in the browser, and requests that left the page's own host. */
  const complaints: string[] = [];

  beforeAll(async () => {
    browser = await launchChromium();
  });
  afterAll(() => browser.close());

  beforeEach(async () => {
    complaints.length = 0;
    runs = mkdtempSync(join(tmpdir(), 'ridgepoint-runs-'));
    journal = journalOf(join(runs, 'one'), { trials: 60 });
    release = takeLease(join(runs, 'one'));
    await serve();
    page = await visitor();
  });
  afterEach(async () => {
    await page.context().close();
    await dashboard.close();
    release();
    rmSync(runs, { recursive: true });
    expect(complaints).toEqual([]);
  });

  async function serve(port = 0): Promise<void> {
    dashboard = await Dashboard.open({ runs: new Runs(runs), host: '127.0.0.1', port });
    await dashboard.look();
  }

  const visitor = (options?: BrowserContextOptions): Promise<Page> => openPage(browser, complaints, options);

  const grow = async (): Promise<void> => {
    appendFileSync(journal.path, journal.next());
    await dashboard.look();
  };
  const firstRow = (): Promise<string | null> => page.locator('#trial-rows tbody tr').first().getAttribute('id');

  it('shows what a running study does, as it does it, without losing what the reader does', async () => {
    await page.goto(`${dashboard.url}/studies/one`);
    await page.locator('#connection', { hasText: 'live' }).waitFor();
    const drawn = await page.locator('#charts path').count();
    await page.locator('#filter-q').fill('t00');
    await page.waitForURL(/q=t00/);
    await page.locator('#trial-rows [role=status]', { hasText: '60' }).waitFor();
    await page.locator('#filter-q').fill('');
    await page.waitForURL((url) => url.search === '');
    await page.locator('#filter-q').focus();
    await grow();
    await page.locator('tr#t0061.changed').waitFor();
    expect(await firstRow()).toBe('t0061');
    expect(await page.locator('#charts path').count()).toBeGreaterThan(drawn);
    expect(await page.evaluate(() => document.activeElement?.id)).toBe('filter-q');
    await page.locator('#t0061 a').focus();
    await grow();
    await page.locator('tr#t0062').waitFor();
    expect(await page.evaluate(() => document.activeElement?.textContent)).toBe('t0061');
  });

  it('keeps a filter while the study grows, in the table and in the address', async () => {
    await page.goto(`${dashboard.url}/studies/one`);
    await page.locator('#connection', { hasText: 'live' }).waitFor();
    await page.locator('#filter-status').selectOption('infeasible');
    await page.waitForURL(/status=infeasible/);
    await page.locator('#trial-rows [role=status]', { hasText: 'of 60' }).waitFor();
    const before = await page.locator('#trial-rows tbody tr').count();
    // The 62nd trial of the made-up study is infeasible.
    await grow();
    await grow();
    await page.locator('tr#t0062').waitFor();
    expect(await page.locator('#trial-rows tbody tr').count()).toBe(before + 1);
    expect(await page.locator('#trial-rows tbody').innerText()).not.toContain('trained');
    await page.reload();
    expect(await page.locator('#filter-status').inputValue()).toBe('infeasible');
    expect(await page.locator('#trial-rows tbody tr').count()).toBe(before + 1);
  });

  it('is used with the keyboard alone: skip, filter, sort, open a trial, go on to the next', async () => {
    await page.goto(`${dashboard.url}/studies/one`);
    await page.keyboard.press('Tab');
    expect(await page.evaluate(() => document.activeElement?.textContent)).toBe('Skip to the content');
    await page.keyboard.press('Enter');
    expect(await page.evaluate(() => document.activeElement?.id)).toBe('main');
    const tabTo = async (id: string): Promise<void> => {
      for (let press = 0; press < 40; press++) {
        await page.keyboard.press('Tab');
        if ((await page.evaluate(() => document.activeElement?.id)) === id) return;
      }
      throw new Error(`expected Tab to reach ${id}`);
    };
    await tabTo('sort-accuracy');
    const outline = await page.evaluate(() => getComputedStyle(document.activeElement ?? document.body).outlineStyle);
    expect(outline).toBe('solid');
    await page.keyboard.press('Enter');
    await page.locator('th[aria-sort=descending] #sort-accuracy').waitFor();
    expect(await page.evaluate(() => document.activeElement?.id)).toBe('sort-accuracy');
    const best = await page.locator('#trial-rows tbody tr td:nth-of-type(3)').allInnerTexts();
    const numbers = best.map((text) => Number(text.replace('★', ''))).filter((value) => !Number.isNaN(value));
    expect(numbers).toEqual(numbers.toSorted((a, b) => b - a));
    await page.keyboard.press('Enter');
    await page.locator('th[aria-sort=ascending] #sort-accuracy').waitFor();
    const first = await firstRow();
    await page.locator(`#${first} a`).focus();
    await page.keyboard.press('Enter');
    await page.waitForURL(new RegExp(`/trials/${first}$`));
    await page.locator('h1', { hasText: first ?? '' }).waitFor();
  });

  it('leaves what a reader has opened open', async () => {
    await page.goto(`${dashboard.url}/studies/one/trials/t0060`);
    await page.locator('#connection', { hasText: 'live' }).waitFor();
    await page.locator('#parts summary').focus();
    await page.keyboard.press('Enter');
    await page.locator('#parts td', { hasText: 'mbconv' }).first().waitFor();
    await grow();
    // The head has a new neighbour; the rest is as it was.
    await page.locator('#head a', { hasText: 't0061' }).waitFor();
    expect(await page.locator('#parts').getAttribute('open')).not.toBeNull();
    expect(await page.evaluate(() => document.activeElement?.tagName)).toBe('SUMMARY');
  });

  it('says that the connection is lost, and catches up when the server is there again', async () => {
    await page.goto(`${dashboard.url}/studies/one`);
    await page.locator('#connection', { hasText: 'live' }).waitFor();
    const port = Number(new URL(dashboard.url).port);
    await dashboard.close();
    await page.locator('#connection.lost').waitFor();
    appendFileSync(journal.path, journal.next());
    await serve(port);
    await page.locator('tr#t0061').waitFor();
    await page.locator('#connection', { hasText: 'live' }).waitFor();
  });

  it.each(['light', 'dark'] as const)(
    'can be read in %s: text stands out from what is behind it',
    async (colorScheme) => {
      page = await visitor({ colorScheme });
      for (const path of ['/', '/studies/one', '/studies/one/trials/t0005']) {
        await page.goto(`${dashboard.url}${path}`);
        const { paper, poor } = await page.evaluate(contrasts);
        expect(paper).toBe(colorScheme === 'light' ? 'rgb(255, 255, 255)' : 'rgb(20, 23, 27)');
        expect(poor).toEqual([]);
      }
    },
  );

  it('fits a screen of 360 pixels: only tables and charts scroll sideways', async () => {
    page = await visitor({ viewport: { width: 360, height: 740 } });
    for (const path of ['/', '/studies/one', '/studies/one/trials/t0001', '/sign-in']) {
      await page.goto(`${dashboard.url}${path}`);
      const width = await page.evaluate(() => document.documentElement.scrollWidth);
      expect([path, width]).toEqual([path, 360]);
    }
  });

  it('has a name for everything that can be used', async () => {
    await page.goto(`${dashboard.url}/studies/one`);
    const nameless = await page.evaluate(() =>
      [...document.querySelectorAll('a, button, input:not([type=hidden]), select, progress, [role=region], svg.chart')]
        .filter((element) => {
          const own = element.getAttribute('aria-label') ?? element.textContent ?? '';
          const labels = 'labels' in element ? [...((element.labels as NodeList | null) ?? [])] : [];
          return own.trim() === '' && labels.every((label) => !label.textContent?.trim());
        })
        .map(({ outerHTML }) => outerHTML),
    );
    expect(nameless).toEqual([]);
  });

  it('downloads a network from the report', async () => {
    const path = 'family/cpu/1x/model-int8.onnx';
    mkdirSync(dirname(join(runs, 'one', path)), { recursive: true });
    writeFileSync(join(runs, 'one', path), 'onnx');
    writeFileSync(join(runs, 'one', 'report.html'), `<a href="./${path}">onnx</a>`);
    await page.goto(`${dashboard.url}/studies/one/files/report.html`);
    const downloading = page.waitForEvent('download', { timeout: 10_000 });
    await page.getByRole('link', { name: 'onnx' }).click();
    const download = await downloading;
    expect(download.suggestedFilename()).toBe('model-int8.onnx');
    expect(readFileSync(await download.path(), 'utf8')).toBe('onnx');
  });
});

/** WCAG 2.2 contrast of every text with its background, in the page; those below 4.5 are poor. Runs in the browser. */
function contrasts(): { paper: string; poor: string[] } {
  // oxlint-disable-next-line unicorn/consistent-function-scoping -- the browser is sent this function alone
  const channels = (color: string): number[] => (color.match(/[\d.]+/g) ?? []).map(Number);
  const luminance = (color: string): number => {
    const [r = 0, g = 0, b = 0] = channels(color).map((channel) => {
      const share = channel / 255;
      return share <= 0.04045 ? share / 12.92 : ((share + 0.055) / 1.055) ** 2.4;
    });
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const backgroundOf = (element: Element | null): string => {
    if (!element) return 'rgb(255, 255, 255)';
    const { backgroundColor } = getComputedStyle(element);
    return channels(backgroundColor)[3] === 0 ? backgroundOf(element.parentElement) : backgroundColor;
  };
  const poor: string[] = [];
  for (const element of document.querySelectorAll('body *')) {
    const own = [...element.childNodes].some((node) => node.nodeType === 3 && node.textContent?.trim());
    if (!own || element instanceof HTMLOptionElement || element.closest('svg title')) continue;
    const style = getComputedStyle(element);
    const color = element instanceof SVGElement ? style.fill : style.color;
    const [a, b] = [luminance(color), luminance(backgroundOf(element))].toSorted((one, other) => other - one);
    const ratio = ((a ?? 0) + 0.05) / ((b ?? 0) + 0.05);
    if (ratio < 4.5)
      poor.push(`${element.tagName} ${element.className} "${element.textContent?.slice(0, 20)}" ${ratio.toFixed(2)}`);
  }
  return { paper: backgroundOf(document.documentElement), poor };
}
