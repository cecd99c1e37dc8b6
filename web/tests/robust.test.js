// What goes wrong is told, and there is a way on.

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { after, before, test } from 'node:test';
import { launch, native, open, serve } from './browser.js';

let server, browser, page;

before(async () => {
  server = await serve();
  browser = await launch();
  page = await open(browser, server.address);
});
after(async () => {
  await browser?.close();
  server?.close();
});

const greedy = (page, count, lose) => page.evaluate(async ({ prompt, count, lose }) => {
  const run = pellucid.model.generate(prompt, { maxNewTokens: count, ignoreEos: true });
  const tokens = [];
  for await (const { id } of run) {
    tokens.push(id);
    if (tokens.length === lose) pellucid.model.loseDevice();
  }
  return tokens;
}, { prompt: native.builtIn.prompt, count, lose });

test('a device that is lost before a text costs nothing', async () => {
  await page.evaluate(() => pellucid.model.loseDevice());
  assert.deepEqual(await greedy(page, 8), native.builtIn.tokens.slice(0, 8));
});

// No device of a test can be filled up safely; what it would say then goes the way that its own word would.
test('a device without memory is told, and the model in use stays', async () => {
  const own = await open(browser, server.address);
  await own.workers()[0].evaluate(() => {
    const make = GPUDevice.prototype.createBuffer;
    GPUDevice.prototype.createBuffer = function (descriptor) {
      const buffer = make.call(this, descriptor);
      if (descriptor.size > 100_000) {
        GPUDevice.prototype.createBuffer = make;
        const error = new GPUOutOfMemoryError('nothing is left');
        this.dispatchEvent(new GPUUncapturedErrorEvent('uncapturederror', { error }));
      }
      return buffer;
    };
  });
  await own.evaluate(() => pellucid.reload('gpu'));
  assert.match(await own.textContent('#notices'), /memory.* Close other tabs/);
  assert.deepEqual(await greedy(own, 8), native.builtIn.tokens.slice(0, 8));
  await own.evaluate(() => pellucid.reload('gpu'));
  assert.deepEqual(await greedy(own, 8), native.builtIn.tokens.slice(0, 8));
  await own.close();
});

test('a damaged file is named, and the model in use stays', async () => {
  const whole = readFileSync(process.env.PELLUCID_SMOLLM2).subarray(0, 3_000_000);
  await page.click('#model-chip');
  await page.setInputFiles('#file-input', [{ name: 'broken.gguf', mimeType: 'application/octet-stream', buffer: whole }]);
  await page.waitForFunction(() => document.getElementById('load-error').textContent !== '');
  assert.match(await page.textContent('#load-error'), /broken\.gguf/);
  await page.evaluate(() => {
    const dropped = new DataTransfer();
    dropped.items.add(new File(['no model at all'], 'notes.gguf'));
    document.body.dispatchEvent(new DragEvent('drop', { dataTransfer: dropped, bubbles: true, cancelable: true }));
  });
  await page.waitForFunction(() => document.getElementById('load-error').textContent.includes('notes.gguf'));
  await page.keyboard.press('Escape');
  assert.deepEqual(await greedy(page, 4), native.builtIn.tokens.slice(0, 4));
});

test('an address that leads nowhere is told', async () => {
  const told = await page.evaluate(async (address) => {
    const { Model } = await import('./pellucid.js');
    const kinds = [];
    for (const wrong of [`${address}nothing.gguf`, `${address}nothing/`, 'http://127.0.0.1:9/x.gguf']) {
      await Model.load(wrong).catch(({ kind, message }) => kinds.push([kind, message]));
    }
    for (const { name } of await Model.kept()) await Model.forget(name);
    return kinds;
  }, server.address);
  assert.deepEqual(told.map(([kind]) => kind), ['file', 'file', 'file']);
  assert.match(told[0][1], /nothing\.gguf.*404/);
});

test('a folder in Hugging Face\'s layout, from an address and from files', async () => {
  const found = await page.evaluate(async ({ prompt, address }) => {
    const { Model } = await import('./pellucid.js');
    const names = ['config.json', 'tokenizer.json', 'model.safetensors'];
    const file = async (name) => new File([await (await fetch(`${address}${name}`)).blob()], name);
    const tokens = [];
    for (const source of [address, await Promise.all(names.map(file))]) {
      const model = await Model.load(source);
      tokens.push((await model.generate(prompt, { maxNewTokens: 8, ignoreEos: true }).result).tokens);
      await model.free();
    }
    const kept = await Model.kept();
    for (const { name } of kept) await Model.forget(name);
    return { tokens, kept };
  }, { prompt: native.builtIn.prompt, address: `${server.address}page/model/` });
  const expected = native.builtIn.tokens.slice(0, 8);
  assert.deepEqual(found.tokens, [expected, expected]);
  assert.deepEqual(found.kept.map(({ name, complete }) => [name, complete]), [['model', true]]);
});

test('a chat template is told what a script tells it, and refuses the rest', async () => {
  const found = await page.evaluate(async (address) => {
    const { Model } = await import('./pellucid.js');
    const names = ['config.json', 'tokenizer.json', 'model.safetensors'];
    const file = async (name) => new File([await (await fetch(`${address}${name}`)).blob()], name);
    const template = "{% for m in messages %}{{ m.role }}: {{ m.content }}. {% endfor %}{{ 'Quiet.' if enable_thinking is false }}"
      + '{{ tools | tojson if tools }}{{ level }}';
    const model = await Model.load([...(await Promise.all(names.map(file))), new File([template], 'chat_template.jinja')]);
    const talk = [{ role: 'user', content: 'Hi' }];
    const text = async (...told) => model.tokenizer.decode(await model.encodeChat(talk, ...told));
    const tools = [{ name: 'b', a: [1, 2.5, null, 'é'] }];
    const texts = [await text(), await text({ enable_thinking: false }), await text({ enable_thinking: true, tools, level: 'low' })];
    const refusals = [];
    for (const told of [{ messages: [] }, { 'a b': 1 }, { level: undefined }, { level: NaN }, { level: 1n }, { tools: [() => 1] }]) {
      await text(told).catch(({ kind, message }) => refusals.push(`${kind}: ${message}`));
    }
    await model.free();
    return { texts, refusals };
  }, `${server.address}page/model/`);
  assert.deepEqual(found.texts, ['user: Hi. ', 'user: Hi. Quiet.', 'user: Hi. [{"name": "b", "a": [1, 2.5, null, "é"]}]low']);
  assert.equal(found.refusals.length, 6);
  assert.match(found.refusals[0], /^input: messages cannot be an argument of the template/);
  assert.match(found.refusals[1], /^input: "a b" cannot be the name/);
  for (const told of found.refusals.slice(2)) assert.match(told, /^input: the template argument (level|tools) is no value of JSON/);
});

test('a fetch that is stopped goes on from there', async () => {
  const found = await page.evaluate(async (address) => {
    const { Model } = await import('./pellucid.js');
    const stopping = new AbortController();
    let stopped;
    await Model.load(address, ({ done }) => done > 2e7 && stopping.abort(), { signal: stopping.signal })
      .catch(({ kind }) => (stopped = kind));
    const [half] = await Model.kept();
    const from = [];
    const model = await Model.load(address, ({ phase, done }) => phase === 'fetch' && from.push(done));
    const written = await model.generate([1, 2, 3], { maxNewTokens: 2 }).result;
    await model.free();
    await Model.forget(half.name);
    return { stopped, half, from: from[0], tokens: written.tokens.length };
  }, `${server.address}smollm2.gguf`);
  assert.equal(found.stopped, 'stopped');
  assert.ok(!found.half.complete && found.half.bytes > 2e7 && found.half.bytes < 9e7);
  assert.ok(found.from > found.half.bytes - 1000, `it began at ${found.from} again`);
  assert.equal(found.tokens, 2);
});

test('stopping is immediate', async () => {
  const stop = () => page.evaluate(async () => {
    const run = pellucid.model.generate('ROMEO:', { maxNewTokens: 500, ignoreEos: true });
    let count = 0;
    for await (const _ of run) {
      count += 1;
      if (count === 5) run.stop();
    }
    const { finish, tokens } = await run.result;
    return { finish, count: tokens.length };
  });
  const all = [await stop(), await stop(), await stop()];
  assert.deepEqual(all.map(({ finish }) => finish), ['interrupted', 'interrupted', 'interrupted']);
  // A busy neighbor may delay one of them.
  assert.ok(all.some(({ count }) => count < 25), JSON.stringify(all));
});

test('wrong settings are refused by name', async () => {
  const told = await page.evaluate(async () => {
    const { Model, Trainer, Tokenizer } = await import('./pellucid.js');
    const failures = [
      () => pellucid.model.generate('a', { sampling: { temperature: -1 } }).result,
      () => pellucid.model.generate('a', { sampling: { temprature: 1 } }).result,
      () => Model.load('built-in', undefined, { context: 1_000_000 }),
      async () => Trainer.create('too short', await Tokenizer.learn('too short'), {}),
      async () => Trainer.create('', '{}', {}),
    ];
    return Promise.all(failures.map((fail) => fail().then(() => 'no failure', ({ message }) => message)));
  });
  for (const [at, words] of [/temperature/, /temprature/, /context/, /context|text/, /tokenizer|text/].entries()) {
    assert.match(told[at], words);
  }
});

test('a small binding limit is no obstacle', async () => {
  const tokens = await page.evaluate(async (prompt) => {
    const { Model } = await import('./pellucid.js');
    const model = await Model.load('built-in', undefined, { maxBinding: 131_072 });
    const { tokens } = await model.generate(prompt, { maxNewTokens: 8, ignoreEos: true }).result;
    await model.free();
    return tokens;
  }, native.builtIn.prompt);
  assert.deepEqual(tokens, native.builtIn.tokens.slice(0, 8));
});

test('two tabs at once', async () => {
  const context = await browser.newContext();
  const [first, second] = [await open(context, server.address), await open(context, server.address)];
  const [one, two] = await Promise.all([greedy(first, 16), greedy(second, 16)]);
  assert.deepEqual([one, two], [native.builtIn.tokens.slice(0, 16), native.builtIn.tokens.slice(0, 16)]);
  await context.close();
});

// Playwright keeps its pages in the foreground; the events are those that a browser sends.
test('a tab that was paused in the background says so', async () => {
  const own = await open(browser, server.address, { view: '#train' });
  await own.click('#train-example');
  await own.fill('#train-steps', '12');
  await own.waitForFunction(() => document.getElementById('train-text').value.length > 1000);
  await own.click('#train-go');
  await own.waitForFunction(() => /^Step /.test(document.title));
  await own.evaluate(() => document.dispatchEvent(new Event('freeze')));
  await new Promise((done) => setTimeout(done, 1500));
  await own.evaluate(() => document.dispatchEvent(new Event('resume')));
  await own.waitForFunction(() => /paused this tab in the background, for [12] s.*the training goes on/.test(document.getElementById('notices').textContent));
  await own.waitForFunction(() => document.getElementById('train-state').textContent === 'Done.');
  await own.waitForFunction(() => !/^Step/.test(document.title));
  await own.close();
});

test('a device that is lost within a text costs no token', async () => {
  const warned = [];
  page.on('console', (message) => warned.push(message.text()));
  assert.deepEqual(await greedy(page, 48, 6), native.builtIn.tokens.slice(0, 48));
  assert.ok(warned.some((text) => text.includes('the device was lost')), `${warned}`);
});

test('a run of training whose device is lost goes on from where its model was last read', async () => {
  const found = await page.evaluate(async () => {
    const { Tokenizer, Trainer } = await import('./pellucid.js');
    const text = (await (await fetch('the-function.md')).text()).slice(0, 8000);
    const settings = { layers: 1, heads: 2, width: 32, context: 32, batch: 4, steps: 40 };
    const trainer = await Trainer.create(text, await Tokenizer.learn(text), settings);
    for await (const _ of trainer.run(10));
    await (await trainer.model()).free();
    const steps = [];
    let revived;
    for await (const { step, loss } of trainer.run(30, { onRevived: (from) => (revived = from) })) {
      steps.push([step, loss]);
      if (step === 15 && revived === undefined) await trainer.loseDevice();
    }
    await trainer.free();
    return { steps, revived };
  });
  assert.equal(found.revived, 10);
  const numbers = found.steps.map(([step]) => step);
  const again = numbers.lastIndexOf(11);
  assert.ok(again > 4 && numbers.at(-1) === 40, `${numbers}`);
  assert.deepEqual(numbers.slice(again), Array.from({ length: 30 }, (_, at) => 11 + at));
  assert.ok(found.steps.at(-1)[1] < found.steps[0][1], 'it went on learning');
});

test('a long prompt can be stopped at once, and what was read of it is not read again', async () => {
  const found = await page.evaluate(async (address) => {
    const { Model } = await import('./pellucid.js');
    const model = await Model.load(address, undefined, { context: 2048 });
    const prompt = Array.from({ length: 1500 }, (_, at) => 100 + (at % 700));
    const stopping = new AbortController();
    const heard = [];
    const start = performance.now();
    let at = 0;
    // Some pieces of the second chunk are done by then.
    const enough = (read) => heard.push(read) && read > 140 && at === 0;
    const run = model.generate(prompt, {
      maxNewTokens: 2, reusePrefix: true, signal: stopping.signal,
      onPrompt: (read) => enough(read) && ([at] = [performance.now(), stopping.abort()]),
    });
    const { finish } = await run.result;
    const [reading, waited] = [at - start, performance.now() - at];
    const short = prompt.slice(0, 130);
    const after = await model.generate(short, { maxNewTokens: 3, reusePrefix: true }).result;
    const fresh = await model.generate(short, { maxNewTokens: 3 }).result;
    // So is the reading for a distribution.
    const asking = new AbortController();
    const asked = model.distribution([1, ...prompt], {}, 5, { signal: asking.signal }).catch(({ kind }) => kind);
    await new Promise((done) => setTimeout(done, 700));
    const askedAt = performance.now();
    asking.abort();
    const kind = await asked;
    const waitedToo = performance.now() - askedAt;
    await model.free();
    for (const { name } of await Model.kept()) await Model.forget(name);
    return { finish, kind, heard, reading, waited, waitedToo, after, fresh };
  }, `${server.address}smollm2.gguf`);
  assert.equal(found.finish, 'interrupted');
  assert.equal(found.kind, 'stopped');
  assert.ok(found.heard.at(-1) > 140 && found.heard.at(-1) < 256, `${found.heard}`);
  assert.deepEqual(found.heard, found.heard.toSorted((a, b) => a - b));
  assert.equal(found.after.reused, 128);
  // To read on to the end of the chunk would take almost as long as the whole reading before.
  const shares = [found.waited, found.waitedToo].map((time) => time / found.reading);
  assert.ok(Math.max(...shares) < 0.5, `${shares}`);
  assert.deepEqual(found.after.tokens, found.fresh.tokens);
  console.log(`stopped in ${Math.round(found.waited)} and ${Math.round(found.waitedToo)} ms`);
});

test('without WebGPU the reference runs, and says so', async () => {
  const without = await launch({ webgpu: false });
  try {
    const own = await open(without, server.address);
    assert.match(await own.textContent('#notices'), /reference/);
    assert.match(await own.textContent('#device-name'), /CPU/);
    assert.deepEqual(await greedy(own, 8), native.builtIn.tokens.slice(0, 8));
    await own.click('#go');
    await own.waitForSelector('.token');
    await own.click('#stop');
    await own.goto(`${server.address}page/#train`);
    assert.ok(await own.isDisabled('#train-go'));
  } finally {
    await without.close();
  }
});
