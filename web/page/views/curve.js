// A curve of the loss, as SVG.

const SIZE = [560, 240];
const MARGIN = { left: 44, right: 12, top: 10, bottom: 28 };
const MOST_POINTS = 400;

const NAMESPACE = 'http://www.w3.org/2000/svg';

function svg(tag, attributes, text) {
  const element = document.createElementNS(NAMESPACE, tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  if (text !== undefined) element.textContent = text;
  return element;
}

/** The training and validation losses, over `steps` in all; `chance` is the loss of a uniform guess. */
export function curve(points, evaluated, steps, chance) {
  const [width, height] = SIZE;
  const losses = points.map((point) => point.loss);
  const top = Math.max(chance, ...losses.slice(0, 5), losses.at(-1)) * 1.02;
  const low = Math.min(...losses, ...evaluated.map((point) => point.validLoss));
  const bottom = Math.max(0, low - 0.08 * (top - low));
  const x = (step) => MARGIN.left + (step / Math.max(1, steps)) * (width - MARGIN.left - MARGIN.right);
  const y = (loss) => MARGIN.top + ((top - Math.min(top, loss)) / (top - bottom || 1)) * (height - MARGIN.top - MARGIN.bottom);
  const last = points.at(-1);
  const picture = svg('svg', {
    viewBox: `0 0 ${width} ${height}`, width: '100%', role: 'img',
    'aria-label': `The loss fell from ${losses[0].toFixed(2)} to ${last.loss.toFixed(2)} in ${last.step} steps`,
  });
  for (const loss of ticks(bottom, top, 4)) {
    picture.append(svg('line', { class: 'grid', x1: MARGIN.left, x2: width - MARGIN.right, y1: y(loss), y2: y(loss) }));
    picture.append(svg('text', { x: MARGIN.left - 6, y: y(loss) + 4, 'text-anchor': 'end' }, String(loss)));
  }
  for (const step of ticks(0, steps, 5)) {
    picture.append(svg('text', { x: x(step), y: height - 8, 'text-anchor': 'middle' }, String(step)));
  }
  picture.append(svg('polyline', { class: 'loss', points: thinned(points).map(({ step, loss }) => `${x(step).toFixed(1)},${y(loss).toFixed(1)}`).join(' ') }));
  if (evaluated.length > 1) {
    picture.append(svg('polyline', { class: 'valid', points: evaluated.map(({ step, validLoss }) => `${x(step).toFixed(1)},${y(validLoss).toFixed(1)}`).join(' ') }));
  }
  for (const { step, validLoss } of evaluated) picture.append(svg('circle', { class: 'dot', cx: x(step), cy: y(validLoss), r: 3 }));
  const figure = document.createElement('div');
  figure.append(picture);
  const key = document.createElement('p');
  key.className = 'key';
  key.innerHTML = '<span><i></i>training</span><span><i class="warm"></i>validation</span>';
  figure.append(key);
  return figure;
}

/** Means of neighbors, so that long runs stay quick to draw. */
function thinned(points) {
  const each = Math.ceil(points.length / MOST_POINTS);
  if (each === 1) return points;
  const groups = [];
  for (let at = 0; at < points.length; at += each) {
    const group = points.slice(at, at + each);
    const loss = group.reduce((sum, point) => sum + point.loss, 0) / group.length;
    groups.push({ step: group[Math.floor(group.length / 2)].step, loss });
  }
  return groups;
}

/** Round numbers between two. */
function ticks(from, to, count) {
  const rough = (to - from) / count;
  if (!(rough > 0)) return [from];
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = power * [1, 2, 5, 10].find((own) => own * power >= rough);
  const all = [];
  for (let at = Math.ceil(from / step) * step; at <= to; at += step) all.push(Number(at.toPrecision(6)));
  return all;
}
