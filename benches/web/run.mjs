// Times SmolLM2-135M by Pellucid and by transformers.js: same browser, same adapter, in turns.
// README.md tells what SITE holds.
//
//     node run.mjs SERVER SITE [TOKENS [RUNS]]

import { spawn } from 'node:child_process';
import { chromium } from 'playwright-core';

const [program, site, tokens = '32', runs = '3'] = process.argv.slice(2);
const ENGINES = ['engine=pellucid', 'engine=transformers&dtype=q4', 'engine=transformers&dtype=fp32', 'engine=pellucid'];

const server = spawn(program, ['serve', site, '0']);
const address = await new Promise((found) => server.stdout.once('data', (line) => found(String(line).trim())));
const args = ['--headless=new', '--no-sandbox', '--enable-unsafe-webgpu', '--enable-features=Vulkan', '--disable-quic', '--disable-background-networking'];
// With ADAPTER=own it is this machine's GPU.
if (process.env.ADAPTER !== 'own') args.push('--use-webgpu-adapter=swiftshader');
const executablePath = process.env.PELLUCID_CHROMIUM ?? '/usr/bin/chromium';
const browser = await chromium.launch({ executablePath, args });
console.log(`Chromium ${browser.version()}`);
for (const engine of ENGINES) {
  const page = await browser.newPage();
  page.on('pageerror', (error) => console.error(error.message));
  await page.goto(`${address}bench.html?${engine}&tokens=${tokens}&runs=${runs}`);
  await page.waitForFunction(() => globalThis.result, undefined, { timeout: 1_800_000 });
  const { error, load, warm, first, pace } = await page.evaluate(() => globalThis.result);
  const list = (values, digits) => values.map((value) => value.toFixed(digits)).join(' ');
  console.log(error ? `${engine}: ${error}`
    : `${engine}: ${list(pace, 2)} tokens/s; first token after ${list(first, 0)} ms (cold: ${warm.toFixed(0)}); loaded in ${load.toFixed(1)} s`);
  await page.close();
}
await browser.close();
server.kill();
