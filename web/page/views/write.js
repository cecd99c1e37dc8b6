// Writing: tokens as they are drawn, what else was considered, and how the next one is drawn.

import { $, calmly, el, number, percent, visible } from '../dom.js';

const ALTERNATIVES = 10;
const SHOWN = 10;

/** The settings of drawing: [name, label, least, most, step, value, format]. */
const SLIDERS = [
  ['temperature', 'Temperature', 0, 2, 0.05, 0.8, (v) => (v === 0 ? 'greedy' : v.toFixed(2))],
  ['topK', 'Top k', 0, 100, 1, 0, (v) => (v === 0 ? 'off' : String(v))],
  ['topP', 'Top p', 0.05, 1, 0.01, 0.95, (v) => (v === 1 ? 'off' : v.toFixed(2))],
  ['minP', 'Min p', 0, 0.5, 0.01, 0, (v) => (v === 0 ? 'off' : v.toFixed(2))],
  ['repetitionPenalty', 'Repetition', 1, 2, 0.05, 1, (v) => (v === 1 ? 'off' : v.toFixed(2))],
  ['maxNewTokens', 'Tokens', 1, 512, 1, 96, (v) => String(v)],
];

export function writeView(app) {
  const story = $('story');
  const settings = {};
  let promptIds = null;
  let promptText = null;
  let drawn = [];
  let running = null;
  let current = -1;
  let asking = null;
  let stale = false;

  makeSliders(settings, () => redraw());

  const sampling = () => {
    const { maxNewTokens, ...rest } = settings;
    return rest;
  };

  /** Whether what was typed is a message to answer, not a text to go on with. */
  const asMessage = (model) => model.info.chat && $('message').checked;

  const encode = (model, text) => (asMessage(model) ? model.encodeChat([{ role: 'user', content: text }]) : model.encode(text));

  /** Starts over with an empty text. */
  function clear() {
    running?.stop();
    [promptIds, promptText, drawn, current] = [null, null, [], -1];
    story.replaceChildren();
    $('go').textContent = 'Write';
    $('pace').textContent = '';
    $('alternatives').replaceChildren(el('p.soft', {}, 'Write something, then choose a token.'));
    redraw();
  }

  /** Goes on from where the text is. */
  async function write() {
    if (running) return;
    if (!app.model) $('pace').textContent = 'In a moment: the kernels are being checked on this device';
    const model = await app.anyModel();
    const text = $('prompt').value;
    if (text !== promptText) {
      if (drawn.length) clear();
      promptText = text;
      try {
        promptIds = await encode(model, text);
      } catch (error) {
        return app.fail(error);
      }
      if (promptIds.length === 0) return app.fail(new Error('Type something for the model to continue.'));
      story.replaceChildren(el('span.prompt', {}, asMessage(model) ? `${text}\n` : text));
    }
    const { maxNewTokens } = settings;
    const before = drawn.length;
    const ids = [...promptIds, ...drawn.map((token) => token.id)];
    const start = performance.now();
    let first = null;
    running = model.generate(ids, {
      maxNewTokens, sampling: sampling(), logprobs: Math.min(ALTERNATIVES, model.info.vocab), reusePrefix: true,
      onPrompt: (read, of) => ($('pace').textContent = `Reading the text: ${number(read)} of ${number(of)} tokens`),
    });
    busy(true);
    // What is drawn there is of the text before, and what is asked for it would keep this waiting.
    asking?.abort();
    $('distribution').setAttribute('aria-busy', 'true');
    try {
      for await (const token of running) {
        first ??= performance.now();
        push(token);
        const seconds = (performance.now() - first) / 1000;
        const count = drawn.length - before;
        if (count > 1) $('pace').textContent = `${((count - 1) / seconds).toFixed(1)} tokens a second, the first after ${Math.round(first - start)} ms`;
      }
      const { finish } = await running.result;
      const told = { eos: 'The model ended the text.', context: `The context of ${number(model.info.context)} tokens is full.`, interrupted: 'Stopped.' }[finish];
      if (told) $('pace').textContent = `${told} ${$('pace').textContent}`;
    } catch (error) {
      app.fail(error);
    } finally {
      running = null;
      busy(false);
      if (stale) clear();
      stale = false;
      redraw();
    }
  }

  function busy(on) {
    $('go').hidden = on;
    $('stop').hidden = !on;
    $('go').textContent = drawn.length ? 'Go on' : 'Write';
    document.body.dataset.writing = on;
  }

  /** Shows a token at the end of the text. */
  function push(token) {
    const index = drawn.push(token) - 1;
    const surprise = token.logprob === null ? 0 : Math.min(1, -token.logprob / 6);
    const element = el('span.token.fresh', {
      role: 'button', tabIndex: -1, style: { '--surprise': `${Math.round(45 * surprise)}%` },
      'aria-label': `${visible(token.text)}, ${percent(Math.exp(token.logprob))}`,
      onpointerenter: () => look(index, false),
      onfocus: () => look(index, false),
      onclick: () => look(index, true),
    });
    if (token.chosen) element.classList.add('chosen');
    element.append(...shown(token.text));
    story.append(element);
    if (index === 0) element.tabIndex = 0;
  }

  /** A token's text, with signs where there is nothing else to point at. */
  function shown(text) {
    if (text === '') return [el('span.sign', {}, '·')];
    return text.split(/(\n)/).filter((part) => part !== '').map((part) => (part === '\n' ? el('span', {}, el('span.sign', {}, '↵'), '\n') : part));
  }

  /** Tells of one token what else there was. */
  function look(index, andGo) {
    const tokens = story.querySelectorAll('.token');
    tokens[current]?.removeAttribute('aria-current');
    current = index;
    tokens.forEach((token, at) => (token.tabIndex = at === index ? 0 : -1));
    tokens[index]?.setAttribute('aria-current', 'true');
    const token = drawn[index];
    if (!token?.top) return;
    const rows = token.top.map(({ id, text, logprob }) => {
      const own = id === token.id;
      const share = Math.exp(logprob);
      return el('tr', {},
        el('th', { scope: 'row' }, el('button', {
          type: 'button', disabled: own, title: own ? 'This one was drawn' : `Go on from here with ${visible(text)}`,
          onclick: () => branch(index, { id, text, logprob }),
        }, visible(text))),
        el('td', {}, el('div.bar', { 'aria-hidden': 'true' }, el(own ? 'i.drawn' : 'i.by-model', { style: { '--share': `${100 * share}%`, inset: '0 auto 0 0' } }))),
        el('td.number', {}, percent(share)));
    });
    const place = token.top.findIndex(({ id }) => id === token.id);
    const rank = place < 0 ? `not among the ${token.top.length} likeliest` : place === 0 ? 'the likeliest' : `number ${place + 1}`;
    $('alternatives').replaceChildren(
      el('p', {}, el('code', {}, visible(token.text)), ` was drawn with a probability of ${percent(Math.exp(token.logprob))}: ${rank}. Choose another to go on from there.`),
      el('table.bars', {}, el('caption', { hidden: true }, 'The likeliest tokens here'), el('tbody', {}, rows)));
    // On a phone they are below the text.
    if (andGo) $('alternatives').querySelector('button:not(:disabled)')?.focus();
  }

  /** Takes another token in place of one, and goes on from there. */
  async function branch(index, { id, text, logprob }) {
    running?.stop();
    await running?.result.catch(() => {});
    const { top } = drawn[index];
    drawn.length = index;
    [...story.querySelectorAll('.token')].slice(index).forEach((token) => token.remove());
    push({ id, text, logprob, top, chosen: true });
    look(index, false);
    // The loop of what was stopped ends first.
    setTimeout(write);
  }

  /** Draws the distribution of the token after the text. */
  const redraw = calmly(120, async () => {
    const model = app.model;
    if (!model || running) return;
    asking?.abort();
    const mine = (asking = new AbortController());
    $('distribution').setAttribute('aria-busy', 'true');
    try {
      const text = $('prompt').value;
      const head = text === promptText && promptIds ? promptIds : await encode(model, text);
      if (head.length === 0) return;
      const ids = [...head, ...drawn.map((token) => token.id)].slice(-model.info.context);
      const found = await model.distribution(ids, sampling(), SHOWN, { signal: mine.signal });
      if (mine === asking && !running) showDistribution(found);
    } catch (error) {
      if (!['broken', 'stopped'].includes(error.kind)) $('distribution').replaceChildren(el('p.error', {}, error.message));
    } finally {
      if (mine === asking && !running) $('distribution').removeAttribute('aria-busy');
    }
  });

  function showDistribution({ tokens, rest, restDrawn, survivors }) {
    const bar = (share, by) => el(`i.${by}`, { style: { '--share': `${100 * share}%` } });
    const row = (label, probability, own) => el('tr', {},
      el('th', { scope: 'row' }, label),
      el('td', {}, el('div.bar', { 'aria-hidden': 'true' }, bar(probability, 'by-model'), bar(own, 'drawn'))),
      el('td.number', { title: 'by the model' }, percent(probability)),
      el('td.number', { title: 'as it is drawn' }, percent(own)));
    const rows = tokens.map(({ text, probability, drawn: own }) => row(el('code', {}, visible(text)), probability, own));
    rows.push(row('all others', rest, restDrawn));
    const may = survivors === 1 ? 'One token may be drawn.' : `${number(survivors)} tokens may be drawn.`;
    $('distribution').replaceChildren(
      el('p.key', {}, el('span', {}, el('i.pale'), 'by the model'), el('span', {}, el('i'), 'as it is drawn'), el('span', {}, may)),
      el('table.bars', {}, el('thead', { hidden: true }, el('tr', {}, ['token', '', 'by the model', 'as it is drawn'].map((head) => el('th', { scope: 'col' }, head)))), el('tbody', {}, rows)));
  }

  $('go').addEventListener('click', write);
  $('stop').addEventListener('click', () => {
    running?.stop();
    $('pace').textContent = 'Stopping …';
  });
  $('clear').addEventListener('click', () => {
    if (running) stale = true;
    clear();
  });
  $('prompt').addEventListener('input', () => redraw());
  $('prompt').addEventListener('keydown', (event) => {
    if (event.key === 'Enter' && (event.ctrlKey || event.metaKey)) write();
  });
  story.addEventListener('keydown', (event) => {
    const tokens = story.querySelectorAll('.token');
    const to = { ArrowRight: current + 1, ArrowDown: current + 1, ArrowLeft: current - 1, ArrowUp: current - 1, Home: 0, End: tokens.length - 1 }[event.key];
    if (to !== undefined) {
      event.preventDefault();
      tokens[Math.max(0, Math.min(tokens.length - 1, to))]?.focus();
    } else if (event.key === 'Enter' || event.key === ' ') {
      event.preventDefault();
      look(current, true);
    }
  });
  $('alternatives').addEventListener('keydown', (event) => {
    if (event.key === 'Escape') story.querySelectorAll('.token')[current]?.focus();
  });
  $('message').addEventListener('change', clear);
  app.onModel((model) => {
    $('as-message').hidden = !model.info.chat;
    $('message').checked = model.info.chat;
    clear();
  });
}

function makeSliders(settings, changed) {
  for (const [name, label, min, max, step, value, format] of SLIDERS) {
    settings[name] = value;
    const output = el('output', { htmlFor: `set-${name}` }, format(value));
    const input = el('input', {
      type: 'range', id: `set-${name}`, min, max, step, value,
      oninput: () => {
        settings[name] = Number(input.value);
        output.textContent = format(settings[name]);
        input.setAttribute('aria-valuetext', output.textContent);
        changed();
      },
    });
    input.setAttribute('value', value);
    $('sampling').append(el('div.slider', {}, el('label', { htmlFor: `set-${name}` }, label), input, output));
  }
  settings.seed = Math.floor(Math.random() * 1e6);
  const seed = el('input', {
    type: 'number', id: 'set-seed', min: 0, max: Number.MAX_SAFE_INTEGER, step: 1, value: settings.seed,
    oninput: () => {
      const value = Number(seed.value);
      if (Number.isSafeInteger(value) && value >= 0) settings.seed = value;
    },
  });
  $('sampling').append(el('div.slider', {}, el('label', { htmlFor: 'set-seed' }, 'Seed'), seed));
}
