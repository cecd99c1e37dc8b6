// Training: a text in, a model out, and the loss on the way.

import { Model, Tokenizer, Trainer } from '../pellucid.js';
import { $, bytes, calmly, duration, el, number, table } from '../dom.js';
import { curve } from './curve.js';

/** Sizes that go together: layers, heads, width, context, batch, steps, learning rate. */
const SIZES = {
  tiny: { label: 'Tiny', layers: 2, heads: 2, width: 64, context: 64, batch: 8, steps: 300, lr: 3e-3 },
  small: { label: 'Small', layers: 4, heads: 4, width: 128, context: 64, batch: 12, steps: 2000, lr: 2e-3 },
  medium: { label: 'Medium', layers: 6, heads: 6, width: 384, context: 256, batch: 16, steps: 3000, lr: 1e-3 },
};

/** Numbers that may be set: [name, label, least, most, step, what it is]. */
const NUMBERS = [
  ['layers', 'Layers', 0, 24, 1],
  ['heads', 'Heads', 1, 32, 1],
  ['width', 'Width', 8, 2048, 8],
  ['context', 'Context', 8, 2048, 8],
  ['batch', 'Batch', 1, 256, 1],
  ['steps', 'Steps', 1, 1_000_000, 1],
  ['lr', 'Learning rate', 0.00001, 0.1, 'any'],
  ['seed', 'Seed', 0, 4294967295, 1],
];

const EVALUATIONS = 10;
const EVERY = 250;

export function trainView(app) {
  let trainer = null;
  let running = null;
  let points = [];
  let seconds = 0;
  let sampling = false;
  const { title } = document;

  makeFields();
  const value = (name) => Number($(`train-${name}`).value);

  const size = calmly(150, () => {
    const text = $('train-text').value;
    $('train-size').textContent = text ? `${number(text.length)} characters` : '';
  });
  const setText = (text) => {
    $('train-text').value = text;
    size();
  };
  $('train-text').addEventListener('input', size);
  $('train-file').addEventListener('click', () => $('text-input').click());
  const openText = async (file) => {
    if (file.size > 64e6) return app.notice(`${file.name} has ${bytes(file.size)}; a tab can train on up to 64 MB of text.`);
    return setText(await file.text());
  };
  $('text-input').addEventListener('change', ({ target }) => target.files[0] && openText(target.files[0]));
  addEventListener('text-dropped', ({ detail }) => openText(detail));
  $('train-example').addEventListener('click', async () => {
    const response = await fetch(new URL('../the-function.md', import.meta.url));
    setText(await response.text());
  });

  function state(text) {
    $('train-state').textContent = text;
  }

  function buttons() {
    $('train-go').hidden = running !== null;
    $('train-pause').hidden = running === null;
    $('train-stop').hidden = trainer === null;
    $('train-go').textContent = trainer && !finished() ? 'Go on' : 'Train';
    for (const id of ['train-say', 'train-save', 'train-use']) $(id).disabled = trainer === null;
    document.body.dataset.training = running !== null;
  }

  const finished = () => points.length > 0 && points.at(-1).step >= trainer?.info.steps;

  /** A new model, from the text and the fields. */
  async function begin() {
    const text = $('train-text').value;
    if (text.trim() === '') throw new Error('Paste a text to train on, or use the one of this page.');
    state('Training the tokenizer …');
    const vocabSize = Number($('train-tokens').value) || undefined;
    // As the program does: where the text names the token that ends a text, it is one.
    const special = ['<|endoftext|>'].filter((name) => text.includes(name));
    const tokenizer = await Tokenizer.learn(text, { vocabSize, special });
    state('Making the model, and checking its kernels on this device …');
    const settings = Object.fromEntries(NUMBERS.map(([name]) => [name, value(name)]));
    trainer = await Trainer.create(text, tokenizer, { ...settings, family: $('train-family').value });
    [points, seconds] = [[], 0];
    $('train-samples').textContent = 'Nothing yet.';
  }

  async function go() {
    if (running) return;
    const over = new AbortController();
    try {
      if (trainer && finished()) await drop();
      if (!trainer) await begin();
      const left = trainer.info.steps - (points.at(-1)?.step ?? 0);
      const every = Math.max(1, Math.round(trainer.info.steps / EVALUATIONS));
      const onRevived = (step) => {
        points = points.filter((point) => point.step <= step);
        state(`The GPU was lost; the run continues from step ${number(step)}.`);
      };
      running = trainer.run(left, { evaluateEvery: every, onRevived });
      buttons();
      state('It goes on while you look elsewhere, though a browser may slow it down or pause it there.');
      let last = performance.now();
      // No pause of the browser's counts.
      document.addEventListener('resume', () => (last = performance.now()), { signal: over.signal });
      for await (const step of running) {
        const now = performance.now();
        seconds += (now - last) / 1000;
        last = now;
        points.push(step);
        show();
        if (step.validLoss !== undefined) say();
      }
      await running.result;
      state(finished() ? 'Done.' : 'Paused.');
    } catch (error) {
      if (error.kind === 'lost' || error.kind === 'diverged' || error.kind === 'device') await drop();
      state(error.kind === 'stopped' ? 'Stopped.' : error.message);
    } finally {
      running = null;
      over.abort();
      document.title = title;
      buttons();
      draw();
    }
  }

  async function drop() {
    await trainer?.free().catch(() => {});
    trainer = null;
  }

  let drawn = 0;
  function show() {
    const now = performance.now();
    if (now - drawn < EVERY) return;
    drawn = now;
    draw();
  }

  function draw() {
    if (points.length === 0) return;
    const last = points.at(-1);
    const evaluated = points.filter((point) => point.validLoss !== undefined);
    const pace = points.length / seconds;
    const info = trainer?.info;
    if (running && info) document.title = `Step ${number(last.step)} of ${number(info.steps)} · ${title}`;
    $('curve').replaceChildren(curve(points, evaluated, info ? info.steps : last.step, Math.log(info?.vocab ?? 1)));
    const figures = [
      ['Step', info ? `${number(last.step)} of ${number(info.steps)}` : number(last.step)],
      ['Training loss', last.loss.toFixed(3)],
      ['Validation loss', evaluated.length ? evaluated.at(-1).validLoss.toFixed(3) : '–'],
      ['Tokens a second', info ? number(Math.round(pace * info.tokensPerStep)) : '–'],
      ['Time left', info ? duration((info.steps - last.step) / pace) : '–'],
      ['Parameters', info ? number(info.parameters) : '–'],
    ];
    $('train-figures').replaceChildren(...figures.map(([name, own]) => el('div', {}, el('dt', {}, name), el('dd', {}, own))));
    const every = Math.max(1, Math.ceil(points.length / 200));
    const rows = points.filter((point, at) => at % every === 0 || at === points.length - 1);
    if ($('curve-table').closest('details').open) {
      $('curve-table').replaceChildren(table(['step', 'loss', 'validation loss', 'gradient norm', 'learning rate'],
        rows.map(({ step, loss, validLoss, gradientNorm, rate }) => [step, loss.toFixed(4), validLoss?.toFixed(4) ?? '', gradientNorm.toFixed(3), rate.toExponential(2)])));
    }
  }

  /** Lets the model by now continue a text. */
  async function say() {
    if (sampling || !trainer) return;
    sampling = true;
    try {
      const step = points.at(-1)?.step ?? 0;
      const model = await trainer.model();
      const prompt = $('train-prompt').value;
      const begins = prompt === '' ? '\n' : prompt;
      const said = model.generate(begins, { maxNewTokens: 48, sampling: { temperature: 0.8, seed: step } });
      const { text } = await said.result;
      await model.free();
      const told = `step ${number(step)}: ${prompt}${text}\n\n`;
      const samples = $('train-samples');
      samples.textContent = told + (samples.textContent === 'Nothing yet.' ? '' : samples.textContent);
    } catch (error) {
      if (error.kind !== 'broken') $('train-samples').textContent = `It cannot begin with that: ${error.message}`;
    } finally {
      sampling = false;
    }
  }

  async function save() {
    try {
      const blob = await trainer.save();
      const link = el('a', { href: URL.createObjectURL(blob), download: `pellucid-step-${points.at(-1)?.step ?? 0}.zip` });
      document.body.append(link);
      link.click();
      link.remove();
      setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
    } catch (error) {
      app.fail(error);
    }
  }

  async function use() {
    try {
      const model = await trainer.model(`trained here, step ${points.at(-1)?.step ?? 0}`);
      app.use(model);
      location.hash = '#write';
    } catch (error) {
      app.fail(error);
    }
  }

  $('train-form').addEventListener('submit', (event) => {
    event.preventDefault();
    go();
  });
  $('train-pause').addEventListener('click', () => running?.stop());
  $('train-stop').addEventListener('click', async () => {
    running?.stop();
    await running?.result.catch(() => {});
    await drop();
    state('Stopped. The next run starts over.');
    buttons();
  });
  $('train-say').addEventListener('click', say);
  $('train-save').addEventListener('click', save);
  $('train-use').addEventListener('click', use);
  $('curve-table').closest('details').addEventListener('toggle', draw);
  addEventListener('gpu', () => {
    if (!app.gpu.adapter) {
      $('train-go').disabled = true;
      state('Training needs WebGPU, which this browser does not offer.');
    }
  });
}

function makeFields() {
  const fields = $('train-fields');
  const field = (id, label, input) => fields.append(el('label', { htmlFor: id }, label, input));
  const set = (name) => {
    for (const [key, own] of Object.entries(SIZES[name])) if (key !== 'label') $(`train-${key}`).value = own;
  };
  const options = (pairs) => pairs.map(([own, label]) => el('option', { value: own }, label));
  field('train-size-name', 'Size', el('select', { id: 'train-size-name', onchange: ({ target }) => set(target.value) },
    options(Object.entries(SIZES).map(([name, { label }]) => [name, label]))));
  field('train-family', 'Family', el('select', { id: 'train-family' },
    options([['gpt2', 'GPT-2'], ['llama', 'Llama'], ['gpt2-attn-only', 'Attention only']])));
  field('train-tokens', 'Tokens', el('select', { id: 'train-tokens' },
    options([['', 'Characters'], ['512', '512 by merges'], ['1024', '1,024 by merges'], ['4096', '4,096 by merges']])));
  for (const [name, label, min, max, step] of NUMBERS) {
    field(`train-${name}`, label, el('input', { type: 'number', id: `train-${name}`, min, max, step, required: true, value: 0 }));
  }
  set('tiny');
}
