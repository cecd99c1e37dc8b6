// The same bits of truth: what the browser computes is what the native program computes.

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { distance, launch, native, open, serve } from './browser.js';

let server, browser, page;
const faults = [];

before(async () => {
  server = await serve();
  browser = await launch();
  page = await open(browser, server.address, { faults });
});
after(async () => {
  await browser?.close();
  server?.close();
});

test('greedy tokens and log-probabilities of the built-in model', async () => {
  const found = await page.evaluate(async ({ prompt, count }) => {
    const { model } = pellucid;
    const written = await model.generate(prompt, { maxNewTokens: count, ignoreEos: true }).result;
    const ids = [...(await model.encode(prompt)), ...written.tokens];
    return { tokens: written.tokens, score: await model.score(ids, 5) };
  }, { prompt: native.builtIn.prompt, count: native.builtIn.tokens.length });
  assert.deepEqual(found.tokens, native.builtIn.tokens);
  assert.equal(found.tokens.length, 64);
  assert.ok(distance(found.score.logprobs, native.builtIn.score.logprobs) < 1e-3);
  assert.deepEqual(found.score.top.at(-1).map(([id]) => id), native.builtIn.score.top.at(-1).map(([id]) => id));
});

test('a draw with a seed', async () => {
  const tokens = await page.evaluate(async ({ prompt, count, sampling }) => {
    return (await pellucid.model.generate(prompt, { maxNewTokens: count, sampling, ignoreEos: true }).result).tokens;
  }, { prompt: native.builtIn.prompt, count: native.drawn.tokens.length, sampling: { temperature: 0.8, topP: 0.9, seed: 7 } });
  assert.deepEqual(tokens, native.drawn.tokens);
});

test('ten steps of training', async () => {
  const losses = await page.evaluate(async () => {
    const { Tokenizer, Trainer } = await import('./pellucid.js');
    const text = await (await fetch('the-function.md')).text();
    // As the native run was begun.
    const settings = { layers: 2, heads: 2, width: 32, context: 32, batch: 4, steps: 10, lr: 1e-3, beta2: 0.99 };
    const tokenizer = await Tokenizer.learn(text, { special: ['<|endoftext|>'] });
    const trainer = await Trainer.create(text, tokenizer, settings);
    const losses = [];
    for await (const { loss } of trainer.run(settings.steps)) losses.push(loss);
    await trainer.free();
    return losses;
  });
  const relative = losses.map((loss, at) => loss / native.losses[at]);
  assert.equal(losses.length, 10);
  assert.ok(distance(relative, native.losses.map(() => 1)) < 1e-4, `${losses} against ${native.losses}`);
});

test('SmolLM2 from an address: little memory, the native tokens, kept for the next time', async () => {
  const address = `${server.address}smollm2.gguf`;
  // What was computed before has left its traces in the memory of the other page.
  const own = await open(browser, server.address, { faults });
  const found = await own.evaluate(async ({ address, prompt, count }) => {
    const { Gpu, Model } = await import('./pellucid.js');
    const gpu = await Gpu.request();
    const before = await gpu.memory();
    const heard = [];
    const model = await Model.load(address, (progress) => heard.push(progress));
    const memory = (await gpu.memory()) - before;
    const written = await model.generate(prompt, { maxNewTokens: count }).result;
    const score = await model.score([...(await model.encode(prompt)), ...written.tokens]);
    await model.free();
    const kept = await Model.kept();
    const again = await Model.load({ kept: kept[0].name });
    const second = await again.generate(prompt, { maxNewTokens: 4 }).result;
    await again.free();
    await Model.forget(kept[0].name);
    return { memory, heard, tokens: written.tokens, logprobs: score.logprobs, kept, second: second.tokens, after: await Model.kept() };
  }, { address, prompt: native.smollm2.prompt, count: native.smollm2.tokens.length });
  await own.close();
  assert.deepEqual(found.tokens, native.smollm2.tokens);
  assert.ok(distance(found.logprobs, native.smollm2.score.logprobs) < 1e-3);
  assert.deepEqual(found.second, native.smollm2.tokens.slice(0, 4));
  assert.ok(found.memory < 64e6, `${found.memory} bytes of memory`);
  const fetched = found.heard.filter(({ phase }) => phase === 'fetch');
  assert.ok(fetched.length > 10 && fetched.at(-1).done === fetched.at(-1).total && fetched.at(-1).total > 9e7);
  assert.deepEqual([found.kept.length, found.kept[0].complete, found.after.length], [1, true, 0]);
  console.log(`SmolLM2 took ${(found.memory / 1e6).toFixed(1)} MB of memory`);
});

test('a model for conversations answers by its template', async () => {
  const own = await open(browser, server.address, { faults });
  await own.click('#model-chip');
  await own.fill('#address', `${server.address}smollm2.gguf`);
  await own.click('#address-form button');
  await own.waitForFunction(() => document.getElementById('model-name').textContent === 'smollm2.gguf');
  assert.ok(await own.isChecked('#message'));
  await own.fill('#prompt', 'What is the capital of France?');
  await own.locator('#set-temperature').fill('0');
  await own.locator('#set-maxNewTokens').fill('7');
  await own.click('#go');
  await own.waitForFunction(() => document.querySelectorAll('.token').length === 7 && document.getElementById('stop').hidden);
  assert.equal((await own.locator('.token').allTextContents()).join(''), native.answer);
  await own.close();
});

test('every kernel is right in this browser', async () => {
  const report = await page.evaluate(async () => {
    const { Gpu } = await import('./pellucid.js');
    return (await Gpu.request()).doctor();
  });
  assert.deepEqual(report.kernels.filter(({ ok }) => !ok), []);
  assert.ok(report.ok && report.kernels.length > 150, `${report.kernels.length} variants`);
});

test('the console has nothing to complain of', () => assert.deepEqual(faults, []));
