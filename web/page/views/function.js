// The function: the model in plain mathematics, rendered when it is first looked at.

import { $, el } from '../dom.js';

export function functionView() {
  let loaded = null;
  addEventListener('view', async ({ detail }) => {
    if (detail.view !== 'function') return;
    loaded ??= load();
    await loaded;
    document.getElementById(detail.place)?.scrollIntoView();
  });
}

async function load() {
  try {
    const response = await fetch(new URL('../the-function.html', import.meta.url));
    if (!response.ok) throw new Error(`${response.status} ${response.statusText}`);
    // It lies next to this file and is built together with it.
    $('article').innerHTML = await response.text();
  } catch (error) {
    $('article').replaceChildren(el('p.error', { role: 'alert' }, `The text cannot be loaded (${error.message}). Load the page again.`));
  }
}
