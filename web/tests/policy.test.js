// The page's policy: a whole use keeps to it, and what gets into the page by some hole can do nothing.

import assert from 'node:assert/strict';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { extname, join, normalize } from 'node:path';
import { after, before, test } from 'node:test';
import { launch, open, serve } from './browser.js';

const TYPES = { '.html': 'text/html', '.js': 'text/javascript', '.css': 'text/css', '.svg': 'image/svg+xml', '.wasm': 'application/wasm', '.json': 'application/json' };

/** Any file server: it knows the types of files, and nothing of policies. */
async function serveElsewhere() {
  const server = createServer((asked, answer) => {
    try {
      const path = normalize(decodeURIComponent(new URL(asked.url, 'http://a').pathname));
      const file = join(process.env.PELLUCID_SITE, path.endsWith('/') ? `${path}index.html` : path);
      const bytes = readFileSync(file);
      answer.writeHead(200, { 'content-type': TYPES[extname(file)] ?? 'application/octet-stream' }).end(bytes);
    } catch {
      answer.writeHead(404).end();
    }
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return { address: `http://127.0.0.1:${server.address().port}/`, close: () => server.close() };
}

let browser;
const servers = {};

before(async () => {
  servers.own = await serve();
  servers.other = await serveElsewhere();
  browser = await launch();
});
after(async () => {
  await browser?.close();
  Object.values(servers).forEach((server) => server.close());
});

/** Opens the page, and notes from its beginning on what the policy stops, in the worker too. */
async function watched(server, options) {
  const context = await browser.newContext({ acceptDownloads: true });
  await context.addInitScript(() => {
    globalThis.stopped = [];
    document.addEventListener('securitypolicyviolation', ({ effectiveDirective, blockedURI }) => globalThis.stopped.push(`${effectiveDirective} ${blockedURI}`));
  });
  const page = await open(context, server.address, options);
  await page.workers()[0].evaluate(() => {
    globalThis.stopped = [];
    addEventListener('securitypolicyviolation', ({ effectiveDirective, blockedURI }) => globalThis.stopped.push(`${effectiveDirective} ${blockedURI}`));
  });
  const stopped = async () => [await page.evaluate(() => stopped), await page.workers()[0].evaluate(() => stopped)];
  return { page, stopped, close: () => context.close() };
}

for (const which of ['own', 'other']) {
  test(`a whole use of the page keeps to its policy, on ${which === 'own' ? 'its own server' : 'any other'}`, async () => {
    const faults = [];
    const { page, stopped, close } = await watched(servers[which], { faults });
    const idle = () => page.waitForFunction(() => document.body.dataset.writing !== 'true' && document.getElementById('stop').hidden);
    await page.locator('#set-maxNewTokens').fill('8');
    await page.click('#go');
    await page.waitForFunction(() => document.querySelectorAll('.token').length === 8);
    await idle();
    await page.locator('.token').nth(2).click();
    await page.waitForSelector('#distribution:not([aria-busy]) tbody tr');
    for (const [view, there] of [['tokens', '.piece'], ['function', '#article math'], ['train', '#train-fields input']]) {
      await page.evaluate((name) => (location.hash = `#${name}`), view);
      await page.waitForSelector(there);
    }
    await page.click('#train-example');
    await page.fill('#train-steps', '6');
    await page.waitForFunction(() => document.getElementById('train-text').value.length > 1000);
    await page.click('#train-go');
    await page.waitForFunction(() => document.getElementById('train-state').textContent === 'Done.');
    const download = page.waitForEvent('download');
    await page.click('#train-save');
    await (await download).path();
    await page.click('#device-chip');
    await page.keyboard.press('Escape');
    // A model from an address, which is kept, and one from files.
    await page.click('#model-chip');
    await page.fill('#address', `${servers[which].address}page/model/`);
    await page.click('#address-form button');
    await page.waitForFunction(() => document.getElementById('model-name').textContent === 'model');
    await page.click('#model-chip');
    const files = ['config.json', 'tokenizer.json', 'model.safetensors'];
    await page.setInputFiles('#file-input', files.map((name) => join(process.env.PELLUCID_SITE, 'page/model', name)));
    await page.waitForFunction(() => document.getElementById('model-name').textContent === 'a folder');
    assert.deepEqual(await stopped(), [[], []]);
    assert.deepEqual(faults, []);
    await close();
  });

  test(`what gets into the page runs no script, on ${which === 'own' ? 'its own server' : 'any other'}`, async () => {
    const { page, stopped, close } = await watched(servers[which]);
    await page.evaluate(async (elsewhere) => {
      const script = document.createElement('script');
      script.textContent = 'globalThis.ran = "an inline script"';
      document.body.append(script);
      const holder = document.createElement('div');
      holder.innerHTML = '<img src="nothing" onerror="globalThis.ran = \'a handler\'"><a id="sly" href="javascript:globalThis.ran = \'a link\'">x</a><p style="color: red">x</p>';
      document.body.append(holder);
      document.getElementById('sly').click();
      const foreign = document.createElement('script');
      foreign.src = elsewhere;
      document.body.append(foreign);
      const base = document.createElement('base');
      base.href = elsewhere;
      document.head.append(base);
      const frame = document.createElement('iframe');
      frame.src = elsewhere;
      document.body.append(frame);
      setTimeout('globalThis.ran = "a text"');
      await new Promise((done) => setTimeout(done, 500));
    }, `${servers[which === 'own' ? 'other' : 'own'].address}page/begin.js`).catch((error) => assert.match(error.message, /Content Security Policy|unsafe-eval/));
    await page.waitForTimeout(500);
    assert.equal(await page.evaluate(() => globalThis.ran), undefined);
    const [directives] = await stopped();
    for (const directive of ['script-src-elem inline', 'script-src-attr inline', 'script-src eval', 'base-uri', 'frame-src']) {
      assert.ok(directives.some((own) => own.startsWith(directive)), `${directive} is not among ${directives.join(', ')}`);
    }
    assert.ok(directives.some((own) => own.startsWith('script-src-elem http')), `${directives}`);
    assert.ok(!(await page.evaluate(() => document.baseURI)).endsWith('begin.js'));
    await close();
  });
}

test('the page reads from its server, from https: addresses and from this machine only', async () => {
  const { page, stopped, close } = await watched(servers.own);
  const told = await page.evaluate(async () => {
    const { Model } = await import('./pellucid.js');
    return Model.load('http://192.0.2.1/m.gguf').then(() => 'no failure', ({ message }) => message);
  });
  assert.match(told, /its own server, from https: addresses, and from localhost/);
  assert.deepEqual((await stopped())[1], ['connect-src http://192.0.2.1/m.gguf']);
  await close();
});
