// The page as people use it: by pointer, by keys alone, on a phone, in the dark.

import assert from 'node:assert/strict';
import { mkdirSync, readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { launch, open, screens, serve } from './browser.js';

const AXE = readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8');
const VIEWS = ['write', 'tokens', 'train', 'function'];

let server, browser, page;
const faults = [];

before(async () => {
  mkdirSync(screens, { recursive: true });
  server = await serve();
  browser = await launch();
  page = await open(browser, server.address, { faults, acceptDownloads: true });
});
after(async () => {
  await browser?.close();
  server?.close();
});

const idle = (own) => own.waitForFunction(() => document.body.dataset.writing !== 'true' && document.getElementById('stop').hidden);

async function write(own, tokens = 24) {
  await own.locator('#set-maxNewTokens').fill(String(tokens));
  await own.click('#go');
  await own.waitForSelector('.token');
  await idle(own);
}

test('it writes, and goes on from an alternative', async () => {
  await write(page);
  const before = await page.locator('.token').allTextContents();
  assert.equal(before.length, 24);
  assert.match(await page.textContent('#pace'), /tokens a second/);
  await page.locator('.token').nth(3).hover();
  const other = page.locator('#alternatives tbody button:not(:disabled)').first();
  const name = await other.textContent();
  await other.click();
  await page.waitForFunction(() => document.querySelectorAll('.token').length > 10);
  await idle(page);
  const now = await page.locator('.token').allTextContents();
  assert.deepEqual(now.slice(0, 3), before.slice(0, 3));
  assert.notEqual(now[3], before[3]);
  assert.equal(now[3].replace(/ /g, '␣').replace(/↵\n/g, '↵'), name);
  assert.equal(now.length, 28);
});

test('the distribution is that of the token after the text', async () => {
  await page.waitForFunction(async () => {
    const rows = [...document.querySelectorAll('#distribution tbody th')].map((own) => own.textContent);
    const prompt = await pellucid.model.encode(document.getElementById('prompt').value);
    const text = [...document.querySelectorAll('.token')].map((own) => own.textContent.replaceAll('↵', '')).join('');
    const whole = await pellucid.model.encode(document.getElementById('prompt').value + text);
    const { tokens } = await pellucid.model.distribution(whole, {}, 3);
    const visible = (own) => own.replace(/ /g, '␣').replace(/\n/g, '↵');
    return whole.length >= prompt.length && tokens.every(({ text: own }, at) => visible(own) === rows[at]);
  }, undefined, { timeout: 20_000 });
});

test('settings show what they do to the distribution', async () => {
  await page.waitForSelector('#distribution tbody tr');
  await page.locator('#set-topP').fill('1');
  await page.locator('#set-topK').fill('3');
  await page.waitForFunction(() => /^3 tokens may/.test(document.querySelector('#distribution .key')?.lastChild.textContent ?? ''));
  await page.locator('#set-temperature').fill('0');
  await page.waitForFunction(() => /One token may/.test(document.getElementById('distribution').textContent));
  assert.match(await page.textContent('#distribution tbody tr'), /100 %/);
  await page.locator('#set-temperature').fill('0.8');
  await page.locator('#set-topK').fill('0');
  await page.locator('#set-topP').fill('0.95');
});

test('the tokenizer is shown at work', async () => {
  await page.goto(`${server.address}page/#tokens`);
  await page.fill('#tokens-text', ' the therefore 日');
  await page.waitForFunction(() => document.querySelectorAll('.piece').length === 3);
  assert.match(await page.textContent('#tokens-count'), /16 characters, 18 bytes, 3 pieces/);
  await page.locator('.piece').nth(1).click();
  assert.match(await page.textContent('#merging'), /Next, the pair/);
  while (!(await page.isDisabled('#merge-next'))) await page.click('#merge-next');
  assert.match(await page.textContent('#merging'), /These are the tokens, with ids/);
});

test('the function has its formulas and its places', async () => {
  await page.goto(`${server.address}page/#function`);
  await page.waitForSelector('#article math');
  assert.ok((await page.locator('#article math').count()) > 100);
  await page.click('#article a[href="#attention"]');
  await page.waitForFunction(() => Math.abs(document.getElementById('attention').getBoundingClientRect().top) < 200);
  const source = await page.locator('#article a[href^="source/"]').first().getAttribute('href');
  assert.equal((await page.request.get(`${server.address}page/${source}`)).status(), 200);
});

test('it trains, is saved, and is loaded again', async () => {
  await page.goto(`${server.address}page/#train`);
  await page.evaluate(() => {
    const dropped = new DataTransfer();
    dropped.items.add(new File(['A text of one line.'], 'line.txt', { type: 'text/plain' }));
    document.body.dispatchEvent(new DragEvent('drop', { dataTransfer: dropped, bubbles: true, cancelable: true }));
  });
  await page.waitForFunction(() => document.getElementById('train-text').value === 'A text of one line.');
  await page.click('#train-example');
  await page.waitForFunction(() => document.getElementById('train-text').value.length > 1000);
  await page.fill('#train-steps', '20');
  await page.click('#train-go');
  await page.waitForFunction(() => document.getElementById('train-state').textContent === 'Done.', undefined, { timeout: 480_000 });
  const losses = await page.locator('#curve svg').getAttribute('aria-label');
  const [, from, to] = losses.match(/from ([\d.]+) to ([\d.]+) in 20 steps/);
  assert.ok(Number(to) < Number(from) - 0.5, losses);
  await page.click('#train-say');
  await page.waitForFunction(() => /step 20: The /.test(document.getElementById('train-samples').textContent));
  await page.evaluate(() => scrollTo(0, 0));
  await page.screenshot({ path: join(screens, 'trained.png'), fullPage: true });
  const [download] = await Promise.all([page.waitForEvent('download'), page.click('#train-save')]);
  const saved = await download.path();
  await page.click('#train-use');
  await page.waitForFunction(() => document.getElementById('model-name').textContent.startsWith('trained here'));
  const written = (own) => own.evaluate(async () => (await pellucid.model.generate('The ', { maxNewTokens: 12 }).result).tokens);
  const own = await written(page);
  await page.click('#model-chip');
  await page.setInputFiles('#file-input', [{ name: 'mine.zip', mimeType: 'application/zip', buffer: readFileSync(saved) }]);
  await page.waitForFunction(() => document.getElementById('model-name').textContent === 'mine.zip');
  assert.deepEqual(await written(page), own);
});

test('keys alone are enough', async () => {
  const own = await open(browser, server.address, { faults });
  const focused = () => own.evaluate(() => document.activeElement.id || document.activeElement.className || document.activeElement.textContent);
  const tabTo = async (id) => {
    for (let count = 0; count < 40 && (await focused()) !== id; count += 1) await own.keyboard.press('Tab');
    assert.equal(await focused(), id);
  };
  await own.locator('#set-maxNewTokens').fill('12');
  await own.focus('.skip');
  await tabTo('prompt');
  await own.keyboard.press('Control+A');
  await own.keyboard.type('JULIET:');
  await own.keyboard.press('Tab');
  assert.equal(await focused(), 'go');
  await own.keyboard.press('Enter');
  await own.waitForSelector('.token');
  await idle(own);
  await own.focus('#clear');
  await own.keyboard.press('Tab');
  assert.match(await focused(), /token/);
  await own.keyboard.press('End');
  await own.keyboard.press('ArrowLeft');
  await own.keyboard.press('Enter');
  assert.ok(await own.evaluate(() => document.getElementById('alternatives').contains(document.activeElement)));
  await own.keyboard.press('Enter');
  // The token before the last was taken out, with the last, and twelve follow the other one.
  await own.waitForFunction(() => document.querySelectorAll('.token.chosen').length === 1 && document.querySelectorAll('.token').length === 11 + 12);
  await idle(own);
  await own.focus('#model-chip');
  await own.keyboard.press('Enter');
  assert.ok(await own.isVisible('#models'));
  await own.keyboard.press('Escape');
  assert.ok(!(await own.isVisible('#models')));
  assert.equal(await focused(), 'model-chip');
  await own.close();
});

for (const colorScheme of ['light', 'dark']) {
  for (const width of [1280, 390]) {
    test(`every view at ${width} px in ${colorScheme}: nothing overflows, nobody is shut out`, async () => {
      const own = await open(browser, server.address, { faults, colorScheme, reducedMotion: 'reduce', viewport: { width, height: 844 } });
      // The page's policy lets no inline script in.
      await own.evaluate(AXE);
      const look = async (name, fullPage = true) => {
        await own.evaluate(() => scrollTo(0, 0));
        await own.screenshot({ path: join(screens, `${name}-${width}-${colorScheme}.png`), fullPage });
        const wide = await own.evaluate(() => document.documentElement.scrollWidth - innerWidth);
        assert.ok(wide <= 0, `${name} is ${wide} px too wide`);
        const { violations } = await own.evaluate(() => axe.run(document, { resultTypes: ['violations'] }));
        const serious = violations.filter(({ impact }) => ['serious', 'critical'].includes(impact));
        assert.deepEqual(serious.map(({ id, nodes }) => `${name}: ${id}: ${nodes.map(({ html }) => html.slice(0, 120)).slice(0, 3).join(' | ')}`), []);
      };
      await write(own);
      await own.locator('.token').nth(2).focus();
      await own.waitForSelector('#distribution:not([aria-busy]) tbody tr');
      for (const view of VIEWS) {
        await own.evaluate((name) => (location.hash = `#${name}`), view);
        if (view === 'tokens') await own.waitForSelector('.piece');
        if (view === 'function') await own.waitForSelector('#article math');
        await look(view, view !== 'function');
      }
      await own.click('#model-chip');
      await own.waitForSelector('#model-list li');
      await look('models', false);
      await own.keyboard.press('Escape');
      await own.click('#device-chip');
      await look('device', false);
      await own.close();
    });
  }
}

test('the console has nothing to complain of', () => assert.deepEqual(faults, []));
