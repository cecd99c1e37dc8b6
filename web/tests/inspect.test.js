// Looking inside in a browser: what the native program finds, under the same names.

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { distance, launch, native, open, serve } from './browser.js';

let server, browser, page;
const faults = [];
const changes = { ablate: ['L1H0'], edits: ['resid_post.0[-1] *= 0.5'] };
const { prompt } = native.builtIn;

before(async () => {
  server = await serve();
  browser = await launch();
  page = await open(browser, server.address, { faults });
});
after(async () => {
  await browser?.close();
  server?.close();
});

/** Calls an analysis of the built-in model. */
const inspect = (what, ...args) => page.evaluate(({ what, args }) => pellucid.model.inspect[what](...args), { what, args });

test('a generation with edits draws the native tokens', async () => {
  const { changed } = native.inside;
  const tokens = await page.evaluate(async ({ prompt, changes, count }) => {
    const request = { ...changes, maxNewTokens: count, ignoreEos: true };
    return (await pellucid.model.generate(prompt, request).result).tokens;
  }, { prompt, changes, count: changed.tokens.length });
  assert.deepEqual(tokens, changed.tokens);
  assert.notDeepEqual(tokens, native.builtIn.tokens);
});

test('lens, attribution and ablation are those of the native program', async () => {
  const { seen, attributed, ablated } = native.inside;
  const lens = await inspect('lens', prompt, { ...changes, top: 3, target: 5 });
  assert.deepEqual([lens.tokens, lens.labels, lens.rank.at(-1)], [seen.tokens, seen.labels, seen.rank.at(-1)]);
  assert.ok(distance(lens.entropy.flat(), seen.entropy.flat()) < 1e-3);
  assert.ok(distance(lens.kl.flat(), seen.kl.flat()) < 1e-3);
  const logprobs = ({ top }) => top.flat(2).map(([, logprob]) => logprob);
  assert.ok(distance(logprobs(lens), logprobs(seen)) < 1e-3);
  const parts = await inspect('attribute', prompt, { ...changes, answer: 5, versus: 9 });
  assert.deepEqual(parts.components.map(({ name }) => name), attributed.components.map(({ name }) => name));
  assert.ok(distance(parts.components.map(({ value }) => value), attributed.components.map(({ value }) => value)) < 1e-3);
  const without = await inspect('ablate', prompt, { ...changes, what: 'head' });
  assert.ok(distance(without.value.flat(), ablated.value.flat()) < 1e-3);
  assert.ok(Math.abs(without.baseline - ablated.baseline) < 1e-3);
});

test('values, patterns and hooks have the shapes that are listed', async () => {
  const { hooks } = await inspect('hooks', { length: 3 });
  const listed = Object.fromEntries(hooks.map(({ name, shape }) => [name, shape]));
  const { tokens, values, top } = await inspect('values', [5, 3, 8], { hooks: ['resid_post.-1', 'pattern.0'], logits: true, top: 2 });
  assert.deepEqual(tokens, [5, 3, 8]);
  assert.equal(Object.keys(values).length, 2);
  for (const [name, { shape, data }] of Object.entries(values)) {
    assert.deepEqual(shape, listed[name]);
    assert.equal(data.length, shape.reduce((a, b) => a * b));
  }
  assert.deepEqual(top.map((row) => row.length), [2, 2, 2]);
  const { pattern } = await inspect('attention', [5, 3, 8], { layer: 0 });
  const [[heads]] = [pattern];
  assert.ok(distance(heads.flat(2), values['blocks.0.attn.hook_pattern'].data) === 0);
});

test('a steering vector is added, and what is wrong is told', async () => {
  const width = await page.evaluate(() => pellucid.model.info.width);
  const ones = Array(width).fill(1);
  const read = (options) => inspect('values', [5, 3], { hooks: ['resid_post.0'], ...options });
  const plain = (await read()).values['blocks.0.hook_resid_post'].data;
  const steered = (await read({ steer: [{ vector: { layer: 0, vector: ones }, scale: 2 }] })).values['blocks.0.hook_resid_post'].data;
  assert.ok(distance(steered, plain.map((x) => x + 2)) < 1e-5);
  const failure = (what, ...args) => inspect(what, ...args).then(() => assert.fail('no error'), (error) => error.message);
  assert.match(await failure('values', [5], { hooks: ['resid_pots.0'] }), /no hook is named resid_pots.0; the nearest are/);
  assert.match(await failure('values', [5], { hooks: [], ablate: ['L99'] }), /this model has no L99/);
  assert.match(await failure('lens', [5], { tops: 3 }), /unknown field `tops`/);
  assert.match(await failure('values', [5], { hooks: [], steer: [{ vector: { layer: 0, vector: [1] } }] }), /belongs to another model/);
});

test('the console has nothing to complain of', () => assert.deepEqual(faults, []));
