// Models: what is at hand, and others from files or addresses.

import { Model } from '../pellucid.js';
import { $, bytes, el, facts, number } from '../dom.js';

export function modelsView(app) {
  let loading = null;

  $('model-chip').addEventListener('click', () => {
    $('load-error').textContent = '';
    $('models').showModal();
    list();
  });

  /** Loads and takes a model, with progress and a way to cancel. */
  async function load(source, label) {
    if (loading) return;
    loading = new AbortController();
    $('load-error').textContent = '';
    $('load-progress').hidden = false;
    $('load-label').textContent = `Loading ${label} …`;
    $('load-bar').removeAttribute('value');
    const heard = ({ phase, done, total }) => {
      const part = total > 0 ? `${bytes(done)} of ${bytes(total)}` : bytes(done);
      const word = { fetch: 'Fetching', load: 'Loading', keep: 'Keeping' }[phase];
      $('load-label').textContent = `${word} ${label}: ${part}`;
      if (total > 0) {
        $('load-bar').max = total;
        $('load-bar').value = done;
      }
    };
    try {
      const model = await Model.load(source, heard, { signal: loading.signal });
      model.files = Array.isArray(source) ? source : null;
      app.use(model);
      $('models').close();
    } catch (error) {
      $('load-error').textContent = error.message;
      if (!$('models').open) app.fail(error);
    } finally {
      loading = null;
      $('load-progress').hidden = true;
      list();
    }
  }

  /** What is at hand: the built-in model, and those that this browser keeps. */
  async function list() {
    const kept = await Model.kept().catch(() => []);
    const item = (name, about, ...buttons) => el('li', {}, el('span', {}, el('strong', {}, name), ' ', el('span.soft', {}, about)), ...buttons);
    const button = (label, onclick, name) => el('button', { type: 'button', onclick, 'aria-label': `${label} ${name}` }, label);
    const items = [item('Built-in', '1.35 million parameters, learned from Shakespeare’s plays', button('Take', () => load('built-in', 'the built-in model'), 'the built-in model'))];
    for (const { name, bytes: size, address, complete } of kept) {
      const about = complete ? `${bytes(size)}, kept in this browser` : `${bytes(size)} so far, not whole yet`;
      const take = complete
        ? button('Take', () => load({ kept: name }, name), name)
        : address && button('Go on', () => load(address, name), name);
      const forget = button('Delete', async () => {
        await Model.forget(name).catch(app.fail.bind(app));
        list();
      }, name);
      items.push(item(name, about, ...[take, forget].filter(Boolean)));
    }
    $('model-list').replaceChildren(...items);
  }

  /** Keeps the files of the model in use for the next visit. */
  async function keep(model) {
    loading = new AbortController();
    $('load-progress').hidden = false;
    const heard = ({ done, total }) => {
      $('load-label').textContent = `Keeping ${bytes(done)} of ${bytes(total)}`;
      $('load-bar').max = total;
      $('load-bar').value = done;
    };
    try {
      await Model.keep(model.files, heard, { signal: loading.signal });
      model.files = null;
      describe(model);
    } catch (error) {
      $('load-error').textContent = error.message;
    } finally {
      loading = null;
      $('load-progress').hidden = true;
      list();
    }
  }

  function describe(model) {
    const { info } = model;
    $('model-facts').replaceChildren(facts([
      ['In use', info.name],
      ['Kind', info.architecture],
      ['Sizes', `${info.layers} layers, ${info.heads} heads${info.kvHeads === info.heads ? '' : ` over ${info.kvHeads} of keys and values`}, width ${number(info.width)}, ${number(info.vocab)} tokens`],
      ['Context', `${number(info.context)} of ${number(info.ownContext)} positions`],
      ['On the device', info.memory ? `${bytes(info.memory.weights)} of weights, ${bytes(info.memory.cache)} of keys and values` : 'nothing: it runs by the reference, on the CPU'],
    ]));
    if (model.files) {
      $('model-facts').append(el('div.row', {}, el('button', { type: 'button', onclick: () => keep(model) }, 'Keep it in this browser')));
    }
  }

  $('load-cancel').addEventListener('click', () => loading?.abort());
  $('address-form').addEventListener('submit', (event) => {
    event.preventDefault();
    const address = $('address').value.trim();
    load(address, address.split('/').filter(Boolean).pop());
  });
  const files = (list) => list.length && load([...list], list[0].webkitRelativePath?.split('/')[0] || list[0].name);
  $('open-file').addEventListener('click', () => $('file-input').click());
  $('open-folder').addEventListener('click', () => $('folder-input').click());
  for (const id of ['file-input', 'folder-input']) {
    $(id).addEventListener('change', ({ target }) => {
      files(target.files);
      target.value = '';
    });
  }
  addEventListener('dragover', (event) => {
    event.preventDefault();
    document.body.classList.add('dragging');
  });
  addEventListener('dragleave', ({ relatedTarget }) => relatedTarget ?? document.body.classList.remove('dragging'));
  addEventListener('drop', async (event) => {
    event.preventDefault();
    document.body.classList.remove('dragging');
    const dropped = await droppedFiles(event.dataTransfer);
    if (dropped.length === 0) return;
    if (dropped.length === 1 && /^text\//.test(dropped[0].type) && !$('train').hidden) {
      dispatchEvent(new CustomEvent('text-dropped', { detail: dropped[0] }));
      return;
    }
    if (!$('models').open) $('models').showModal();
    list();
    files(dropped);
  });
  app.onModel((model) => {
    $('model-name').textContent = model.info.name;
    describe(model);
  });
}

/** The files that were dropped, those of folders one level down too. */
async function droppedFiles(transfer) {
  const entries = [...transfer.items].map((item) => item.webkitGetAsEntry?.()).filter(Boolean);
  if (entries.length === 0) return [...transfer.files];
  const all = [];
  const open = (entry) => new Promise((done, failed) => entry.file(done, failed));
  for (const entry of entries) {
    if (entry.isFile) {
      all.push(await open(entry));
      continue;
    }
    const reader = entry.createReader();
    for (;;) {
      const some = await new Promise((done, failed) => reader.readEntries(done, failed));
      if (some.length === 0) break;
      for (const own of some) if (own.isFile) all.push(await open(own));
    }
  }
  return all;
}
