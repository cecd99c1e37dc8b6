// The device: what the browser says about it, and whether its results are correct.

import { $, el, bytes, facts, number, table } from '../dom.js';

export function deviceView(app) {
  $('device-chip').addEventListener('click', async () => {
    $('device').showModal();
    await describe();
  });

  async function describe() {
    const { adapter } = app.gpu ?? {};
    const wasm = app.gpu ? bytes(await app.gpu.memory()) : null;
    $('device-facts').replaceChildren(facts([
      ['Adapter', adapter ? adapter.name : 'none: the reference runs, on the CPU'],
      ['By way of', adapter ? 'WebGPU' : null],
      ['f16 arithmetic', adapter ? (adapter.features.includes('shader-f16') ? 'yes' : 'no; not needed') : null],
      ['Largest binding', adapter ? bytes(adapter.limits.maxStorageBufferBindingSize) : null],
      ['Program’s memory', wasm],
      ['Checked', checked(app.model)],
    ]));
    $('doctor').disabled = !adapter;
  }

  $('doctor').addEventListener('click', async () => {
    $('doctor').disabled = true;
    $('doctor-table').replaceChildren();
    const state = $('doctor-state');
    const bar = el('progress', { 'aria-label': 'Cases tried' });
    const told = el('span', {}, ' ');
    state.replaceChildren(bar, told);
    try {
      const { kernels, ok } = await app.gpu.doctor((done, total) => {
        bar.max = total;
        bar.value = done;
        told.textContent = `${number(done)} of about ${number(total)} cases`;
      });
      const wrong = kernels.filter((kernel) => !kernel.ok);
      state.textContent = wrong.length === 0
        ? `${kernels.length} variants of kernels, each held against plain Rust: all are right.`
        : `${wrong.length} of ${kernels.length} variants are wrong. ${ok ? 'Others take their place.' : 'This adapter is of no use; the reference runs on the CPU.'}`;
      kernels.sort((a, b) => a.ok - b.ok);
      $('doctor-table').replaceChildren(table(['', 'kernel', 'variant', 'largest relative error'],
        kernels.map(({ kernel, variant, ok: right, max_rel_err: error }) => [right ? 'right' : 'WRONG', kernel, variant, error === null ? '–' : error.toExponential(1)])));
    } catch (error) {
      state.textContent = error.message;
    } finally {
      $('doctor').disabled = false;
    }
  });

  addEventListener('gpu', () => {
    $('device-name').textContent = app.gpu.adapter?.name ?? 'CPU, no WebGPU';
  });
  app.onModel((model) => {
    const name = model.info.adapter ? model.info.adapter.name : 'CPU (reference)';
    $('device-name').textContent = model.checked ? `${name} ✓` : name;
    $('device-chip').title = checked(model) ?? '';
    if ($('device').open) describe();
  });
}

/** What is known of the kernels that a model uses. */
function checked(model) {
  if (!model?.checked) return null;
  const { passed, excluded } = model.checked;
  const out = excluded.length ? `; left out: ${excluded.join(', ')}` : '';
  return `${passed} variants of kernels were held against plain Rust on this device and are right${out}`;
}
