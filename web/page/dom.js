// Small helpers for making elements and saying numbers.

export const $ = (id) => document.getElementById(id);

/** An element with properties, attributes (those with a dash, role, and so on) and children. */
export function el(tag, props = {}, ...children) {
  const [name, ...classes] = tag.split('.');
  const element = document.createElement(name || 'div');
  if (classes.length) element.className = classes.join(' ');
  for (const [key, value] of Object.entries(props)) {
    if (value === undefined || value === null || value === false) continue;
    if (key.startsWith('on')) element.addEventListener(key.slice(2), value);
    else if (key === 'style') for (const [name, own] of Object.entries(value)) element.style.setProperty(name, own);
    else if (key in element && !key.includes('-') && key !== 'role') element[key] = value;
    else element.setAttribute(key, value === true ? '' : value);
  }
  element.append(...children.flat().filter((child) => child !== null && child !== undefined));
  return element;
}

/** Bytes as people say them. */
export function bytes(count) {
  if (count < 1000) return `${count} bytes`;
  if (count < 1e6) return `${(count / 1e3).toFixed(count < 1e4 ? 1 : 0)} kB`;
  if (count < 1e9) return `${(count / 1e6).toFixed(count < 1e7 ? 1 : 0)} MB`;
  return `${(count / 1e9).toFixed(2)} GB`;
}

export const number = (count) => count.toLocaleString('en');

/** A share as per cent, with as many digits as tell something. */
export function percent(share) {
  const value = 100 * share;
  if (value === 0) return '0 %';
  if (value < 0.01) return '< 0.01 %';
  return `${value.toFixed(value < 1 ? 2 : value < 10 ? 1 : 0)} %`;
}

export function duration(seconds) {
  if (!Number.isFinite(seconds)) return '–';
  if (seconds < 90) return `${Math.round(seconds)} s`;
  if (seconds < 5400) return `${Math.round(seconds / 60)} min`;
  return `${(seconds / 3600).toFixed(1)} h`;
}

/** A token's text with what cannot be seen made visible. */
export function visible(text) {
  if (text === '') return '(part of a character)';
  return text.replace(/ /g, '␣').replace(/\n/g, '↵').replace(/\t/g, '⇥');
}

/** A table from rows of texts; numbers stand to the right. */
export function table(heads, rows) {
  const cell = (value) => el(typeof value === 'number' ? 'td.number' : 'td', {}, String(value));
  return el('table', {},
    el('thead', {}, el('tr', {}, heads.map((head) => el('th', { scope: 'col' }, head)))),
    el('tbody', {}, rows.map((row) => el('tr', {}, row.map(cell)))));
}

/** A list of names and what they are. */
export function facts(pairs) {
  const known = pairs.filter(([, value]) => value !== null && value !== undefined && value !== '');
  return el('dl.facts', {}, known.flatMap(([name, value]) => [el('dt', {}, name), el('dd', {}, value)]));
}

/** Runs the last of many calls, not more often than this. */
export function calmly(milliseconds, work) {
  let timer = null;
  return (...args) => {
    clearTimeout(timer);
    timer = setTimeout(() => work(...args), milliseconds);
  };
}
