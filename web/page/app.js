// The page: one model at a time, and views upon it.

import { builtIn, gpu } from './begin.js';
import { Model } from './pellucid.js';
import { $, duration, el } from './dom.js';
import { deviceView } from './views/device.js';
import { functionView } from './views/function.js';
import { modelsView } from './views/models.js';
import { tokensView } from './views/tokens.js';
import { trainView } from './views/train.js';
import { writeView } from './views/write.js';

/** What the views share. */
class App {
  gpu = null;
  model = null;
  #hearers = [];

  /** Calls this with every model from now on, and with the one there is. */
  onModel(hearer) {
    this.#hearers.push(hearer);
    if (this.model) hearer(this.model);
  }

  /** The model there is, or the first that there will be. */
  anyModel() {
    return this.model ?? new Promise((taken) => this.onModel(taken));
  }

  /** Takes another model in place of the one there is. */
  use(model) {
    const before = this.model;
    this.model = model;
    this.#hearers.forEach((hearer) => hearer(model));
    before?.free().catch(() => {});
  }

  /** Says something above the page; `action` is the way on. */
  notice(text, action) {
    const notice = el('div.notice', {}, el('span', {}, text));
    if (action) notice.append(el('button', { type: 'button', onclick: () => (notice.remove(), action.run()) }, action.label));
    notice.append(el('button', { type: 'button', onclick: () => notice.remove() }, 'Close'));
    $('notices').append(notice);
    return notice;
  }

  /** Tells of a failure in words, with a way on where there is one. */
  fail(error) {
    if (error.kind === 'stopped') return;
    console.warn(error);
    if (error.kind === 'broken') {
      this.notice(`The program in this tab failed: ${error.message}`, { label: 'Load the page again', run: () => location.reload() });
    } else if (error.kind === 'lost') {
      this.notice('The GPU was lost, and could not be opened again. Your text is still here.', {
        label: 'Try again', run: () => this.reload('gpu'),
      });
    } else if (error.kind === 'memory') {
      this.notice(`${error.message} Close other tabs that use the GPU, or use a smaller model.`);
    } else {
      this.notice(error.message);
    }
  }

  /** Loads the built-in model again. */
  async reload(backend) {
    try {
      this.use(await Model.load('built-in', undefined, { backend }));
    } catch (error) {
      this.fail(error);
    }
  }
}

const VIEWS = ['write', 'tokens', 'train', 'function'];

/** Shows the view that the address names; a place within the function is in that view. */
function route() {
  const hash = decodeURIComponent(location.hash.slice(1)) || 'write';
  const place = VIEWS.includes(hash) ? null : $(hash);
  const view = VIEWS.includes(hash) ? hash : 'function';
  for (const name of VIEWS) $(name).hidden = name !== view;
  for (const link of document.querySelectorAll('nav a')) {
    if (link.hash === `#${view}`) link.setAttribute('aria-current', 'page');
    else link.removeAttribute('aria-current');
  }
  dispatchEvent(new CustomEvent('view', { detail: { view, place: hash } }));
  if (place) place.scrollIntoView();
  else scrollTo(0, 0);
}

/** Browsers pause hidden tabs; their work continues by itself when they are shown again. */
function background(app) {
  let since = null;
  document.addEventListener('freeze', () => (since = performance.now()));
  document.addEventListener('resume', () => {
    const { writing, training } = document.body.dataset;
    if (since !== null && (writing === 'true' || training === 'true')) {
      const seconds = (performance.now() - since) / 1000;
      app.notice(`The browser paused this tab in the background, for ${duration(seconds)}. Nothing is lost: ${training === 'true' ? 'the training' : 'the text'} goes on from where it was.`);
    }
    since = null;
  });
}

async function start() {
  const app = new App();
  // For scripts that look on, as tests do.
  globalThis.pellucid = app;
  modelsView(app);
  deviceView(app);
  writeView(app);
  tokensView(app);
  trainView(app);
  functionView(app);
  addEventListener('hashchange', route);
  route();
  background(app);
  try {
    app.gpu = await gpu;
    dispatchEvent(new CustomEvent('gpu'));
    if (!app.gpu.adapter) {
      app.notice(navigator.gpu
        ? 'This browser offers no GPU to pages at the moment. The model runs by the reference instead, in plain Rust on the CPU: slower, but the same function. Training needs a GPU.'
        : 'This browser has no WebGPU. The model runs by the reference instead, in plain Rust on the CPU: slower, but the same function. Chrome and Edge 113, Safari 26 and Firefox 141 or later have it.');
    }
    app.use(await builtIn);
  } catch (error) {
    if (error.kind === 'device' || error.kind === 'adapter' || error.kind === 'memory') {
      app.notice(`${error.message} The reference runs instead, in plain Rust on the CPU.`);
      await app.reload('cpu');
    } else {
      app.fail(error);
    }
  }
  document.body.dataset.ready = 'true';
  performance.mark('ready');
}

start();
