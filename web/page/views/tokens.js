// The tokenizer at work: pieces, symbols, merges in their order, ids.

import { $, calmly, el, number, table, visible } from '../dom.js';

export function tokensView(app) {
  let pieces = [];
  let chosen = 0;
  let step = 0;
  let asked = 0;

  const again = calmly(80, async () => {
    const tokenizer = app.model?.tokenizer;
    const text = $('tokens-text').value;
    const mine = (asked += 1);
    if (!tokenizer) {
      $('tokens-count').textContent = app.model ? 'This model has no tokenizer.' : '';
      return;
    }
    try {
      const found = await tokenizer.explain(text);
      const texts = await tokenizer.texts(found.flatMap((piece) => piece.ids));
      if (mine !== asked) return;
      let at = 0;
      for (const piece of found) piece.texts = piece.ids.map(() => texts[at++]);
      pieces = found;
      chosen = Math.max(0, Math.min(chosen, pieces.length - 1));
      step = pieces[chosen]?.merges?.length ?? 0;
      show(text);
    } catch (error) {
      app.fail(error);
    }
  });

  function show(text) {
    const ids = pieces.reduce((sum, piece) => sum + piece.ids.length, 0);
    const length = new TextEncoder().encode(text).length;
    const many = (count, word) => `${number(count)} ${word}${count === 1 ? '' : 's'}`;
    $('tokens-count').textContent = `${many([...text].length, 'character')}, ${many(length, 'byte')}, ${many(pieces.length, 'piece')}, ${many(ids, 'token')} of ${number(app.model.tokenizer.vocabSize)}. Choose a piece to see its merges.`;
    $('pieces').replaceChildren(...pieces.map((piece, index) => el('button.piece', {
      type: 'button', 'aria-pressed': String(index === chosen),
      onclick: () => {
        [chosen, step] = [index, 0];
        [...$('pieces').children].forEach((own, at) => own.setAttribute('aria-pressed', String(at === index)));
        merging();
      },
    }, piece.texts.map((own) => el('i', {}, visible(own))))));
    $('pieces-table').replaceChildren(table(
      ['piece', 'begins as', 'merges', 'tokens', 'ids'],
      pieces.map((piece) => [
        visible(piece.text), piece.symbols.join(' '), piece.merges ? piece.merges.length : '–',
        piece.texts.map(visible).join(' '), piece.ids.join(' '),
      ])));
    merging();
  }

  /** The chosen piece after so many of its merges. */
  function merging() {
    const piece = pieces[chosen];
    if (!piece) return $('merging').replaceChildren(el('p.soft', {}, 'Type something above.'));
    const title = el('h2', {}, 'The piece ', el('code', {}, visible(piece.text)));
    if (!piece.merges) {
      return $('merging').replaceChildren(title, el('p', {}, `This tokenizer finds its tokens otherwise than by ordered merges: ${piece.ids.join(', ')}.`));
    }
    if (piece.symbols.length === 0) {
      return $('merging').replaceChildren(title, el('p', {}, `A token of its own, cut out before the pattern is tried: ${piece.ids.join(', ')}.`));
    }
    const { symbols, merged } = after(piece, step);
    const next = piece.merges[step];
    const sign = (symbol, at) => el('span.symbol', {
      className: ['symbol', at === merged ? 'merged' : '', next && (at === next.at || at === next.at + 1) ? 'next' : ''].join(' ').trim(),
    }, symbol);
    const last = piece.merges.length;
    const told = next
      ? `Next, the pair ${symbols[next.at]} + ${symbols[next.at + 1]} becomes one: merge number ${number(next.rank + 1)} of those learned, the earliest that is possible here.`
      : `No pair here was ever merged in learning. These are the tokens, with ids ${piece.ids.join(', ')}.`;
    const move = (to) => {
      step = Math.max(0, Math.min(last, to));
      merging();
    };
    const slider = el('input', { type: 'range', min: 0, max: last, step: 1, 'aria-label': 'Merges done', oninput: () => move(Number(slider.value)) });
    slider.value = step;
    const button = (label, to, off) => el('button', { type: 'button', disabled: off, id: `merge-${label.toLowerCase()}`, onclick: () => move(to) }, label);
    const focused = document.activeElement?.id || document.activeElement?.getAttribute('aria-label');
    const spelled = piece.symbols.some((symbol) => /[Ā-ſ]/.test(symbol))
      ? el('p.soft.small', {}, 'Bytes are spelled as characters that can be seen: Ġ is a space, Ċ a line break, and a letter beyond ASCII is several.')
      : null;
    $('merging').replaceChildren(title,
      el('div.symbols', {}, symbols.map(sign)),
      el('p', {}, told),
      el('div.steps', {}, button('Back', step - 1, step === 0), button('Next', step + 1, step === last), slider, el('span.soft', {}, `${step} of ${last} merges`)),
      ...(spelled ? [spelled] : []));
    const back = [...$('merging').querySelectorAll('button, input')].find((own) => (own.id || own.getAttribute('aria-label')) === focused);
    (back?.disabled ? slider : back)?.focus({ preventScroll: true });
  }

  $('tokens-text').addEventListener('input', again);
  addEventListener('view', ({ detail }) => detail.view === 'tokens' && again());
  app.onModel(again);
}

/** The symbols after so many merges, and which of them is new. */
function after(piece, count) {
  const symbols = [...piece.symbols];
  let merged = -1;
  for (const { at, symbol } of piece.merges.slice(0, count)) {
    symbols.splice(at, 2, symbol);
    merged = at;
  }
  return { symbols, merged };
}
