// The worker: all of Pellucid's work, off the page's own thread. `pellucid.js` speaks with it.
//
// Calls on one object wait for each other; different objects take turns at the GPU. A call may be
// stopped, which acts at the next token or step, not after what waits before it.

import init, * as wasm from './wasm/pellucid_web.js';
import { gather, kept, keep, forget } from './sources.js';
import { Shelf } from './shelf.js';

const BUILT_IN = ['config.json', 'tokenizer.json', 'model.safetensors'];

const objects = new Map();
const queues = new Map();
const stopped = new Set();
/** Models that are writing, and those of them whose device is to be given up. */
const writing = new Set();
const losing = new Set();
/** Calls that do not wait for others on their object. */
const AT_ONCE = ['steps', 'loseDevice'];
let lastHandle = 0;
let adapter = null;
let shelf = null;

/** Fetches, compiles and starts the module, and looks for an adapter meanwhile. */
const ready = (async () => {
  const info = describeAdapter();
  await init({ module_or_path: new URL('./wasm/pellucid_web_bg.wasm', import.meta.url) });
  adapter = await info;
  shelf = await Shelf.open(`${navigator.userAgent} ${JSON.stringify(adapter)}`);
})();

/** What the browser tells of its adapter; null without WebGPU or without an adapter. */
async function describeAdapter() {
  if (!navigator.gpu) return null;
  const found = await navigator.gpu.requestAdapter().catch(() => null);
  if (!found) return null;
  const { vendor = '', architecture = '', device = '', description = '' } = found.info ?? {};
  return {
    name: [description || device || vendor, architecture].filter(Boolean).join(' ') || 'WebGPU',
    vendor,
    architecture,
    features: [...found.features].filter((name) => ['shader-f16', 'subgroups'].includes(name)),
    limits: {
      maxStorageBufferBindingSize: found.limits.maxStorageBufferBindingSize,
      maxBufferSize: found.limits.maxBufferSize,
    },
  };
}

function add(object) {
  objects.set(++lastHandle, object);
  return lastHandle;
}

function get(handle) {
  const object = objects.get(handle);
  if (!object) throw Object.assign(new Error('this object was freed'), { kind: 'input' });
  return object;
}

/** Tries again on a new device where the old one was lost. */
async function reviving(model, work) {
  try {
    return await work();
  } catch (error) {
    if (error.kind !== 'lost') throw error;
    await model.revive();
    return work();
  }
}

/** A macrotask, in which messages arrive: the CPU's work gives none by itself. */
const breath = () => new Promise((done) => setTimeout(done));

function modelResult(model, tokenizer) {
  const own = tokenizer ?? model.tokenizer();
  const info = { ...model.info(), adapter: model.info().adapter && adapter };
  const checked = info.adapter && shelf.checked();
  return { handle: add(model), info, checked, tokenizer: own && { handle: add(own), vocabSize: own.vocabSize } };
}

/** What can be called: (arguments, event, stop) → result. */
const calls = {
  async request() {
    return { adapter };
  },
  async memory() {
    return wasm.memoryBytes();
  },
  doctor: (_, event) => wasm.doctor((done, total) => event({ done, total })),
  async load({ source, options }, event, isStopped) {
    const builtIn = source === 'built-in';
    const wanted = builtIn ? { base: new URL('./model/', import.meta.url).href, names: BUILT_IN } : source;
    const files = await gather(wanted, {
      progress: (done, total) => event({ phase: 'fetch', done, total }),
      isStopped,
    });
    await ready;
    const name = builtIn ? 'built-in' : files.name;
    const progress = (done, total) => event({ phase: 'load', done, total });
    return modelResult(await wasm.Model.load(name, files.readers, options, shelf, progress));
  },
  async generate({ handle, prompt, request }, event, isStopped) {
    const model = get(handle);
    const ids = typeof prompt === 'string' ? model.encode(prompt) : Uint32Array.from(prompt);
    event({ prompt: [...ids] });
    let last = 0;
    const heard = (told) => {
      event('read' in told ? { progress: told } : { token: told });
      if (isStopped()) return false;
      if (losing.delete(handle)) return 'lose';
      // Where no GPU is waited for, nothing else would let messages in.
      const now = performance.now();
      if (now - last < 15) return true;
      last = now;
      return breath().then(() => !isStopped());
    };
    writing.add(handle);
    try {
      return await reviving(model, () => model.generate(ids, request, heard));
    } finally {
      writing.delete(handle);
    }
  },
  score: ({ handle, tokens, top }) => reviving(get(handle), () => get(handle).score(Uint32Array.from(tokens), top)),
  async distribution({ handle, tokens, sampling, most }, _, isStopped) {
    const model = get(handle);
    const heard = () => !isStopped();
    const find = () => model.distribution(Uint32Array.from(tokens), sampling, most, heard);
    const found = isStopped() ? null : await reviving(model, find);
    if (!found) throw new DOMException('stopped', 'AbortError');
    return found;
  },
  inspect({ handle, what, prompt, other, changes, options }) {
    const model = get(handle);
    const ids = (text) => (typeof text === 'string' ? model.encode(text) : Uint32Array.from(text));
    return reviving(model, () => model.inspect(what, ids(prompt), ids(other), changes, options));
  },
  encodePrompt: async ({ handle, text }) => [...get(handle).encode(text)],
  encodeChat: async ({ handle, messages, named }) => [...get(handle).encodeChat(messages, named)],
  async loseDevice({ handle }) {
    if (!writing.has(handle)) return queued(handle, () => get(handle).loseDevice());
    losing.add(handle);
    return undefined;
  },
  readTokenizer: async ({ json }) => {
    const tokenizer = new wasm.Tokenizer(json);
    return { handle: add(tokenizer), vocabSize: tokenizer.vocabSize };
  },
  learnTokenizer: async ({ text, options }) => wasm.learnTokenizer(text, options),
  encode: async ({ handle, text, options }) => [...get(handle).encode(text, options)],
  decode: async ({ handle, ids }) => get(handle).decode(Uint32Array.from(ids)),
  explain: async ({ handle, text, options }) => get(handle).explain(text, options),
  texts: async ({ handle, ids }) => get(handle).texts(Uint32Array.from(ids)),
  async train({ text, tokenizer, settings }) {
    const trainer = await wasm.Trainer.create(text, tokenizer, settings, shelf);
    return { handle: add(trainer), info: trainer.info() };
  },
  async steps({ handle, steps, evaluateEvery, evaluateBatches }, event, isStopped) {
    const trainer = get(handle);
    const evaluated = (step) => evaluateEvery && step % evaluateEvery === 0;
    let step = null;
    let revived = false;
    // Between steps there is room for other calls.
    for (let done = 0; done < steps && !isStopped(); done += 1) {
      try {
        step = await queued(handle, () => trainer.step());
        const evaluate = () => trainer.evaluate(evaluateBatches ?? 8);
        event({ ...step, validLoss: evaluated(step.step) ? await queued(handle, evaluate) : undefined });
      } catch (error) {
        // A device that is lost twice in one run is not worth a third try.
        if (error.kind !== 'lost' || revived) throw error;
        revived = true;
        const from = await queued(handle, () => trainer.revive());
        done = Math.max(-1, done - 1 - ((step?.step ?? from) - from));
        event({ revived: from });
      }
    }
    return step;
  },
  loseTrainer: async ({ handle }) => get(handle).loseDevice(),
  evaluate: ({ handle, batches }) => get(handle).evaluate(batches),
  save: ({ handle, half }) => get(handle).save(half),
  async trained({ handle, name }) {
    return modelResult(await get(handle).model(name));
  },
  async free({ handle, also = [] }) {
    for (const one of [handle, ...also]) {
      objects.get(one)?.free();
      objects.delete(one);
      queues.delete(one);
    }
  },
  kept: () => kept(),
  keep: ({ source }, event, isStopped) =>
    keep(source, { progress: (done, total) => event({ done, total }), isStopped }),
  forget: ({ name }) => forget(name),
};

/** One call after the other on each object. */
function queued(handle, work) {
  if (handle === undefined) return work();
  const before = queues.get(handle) ?? Promise.resolve();
  const now = before.then(work, work);
  queues.set(handle, now.catch(() => {}));
  return now;
}

addEventListener('message', async ({ data }) => {
  if (data.stop !== undefined) {
    stopped.add(data.stop);
    return;
  }
  const { id, name, args } = data;
  const event = (value) => postMessage({ id, event: value });
  const isStopped = () => stopped.has(id);
  try {
    // Files can be fetched meanwhile.
    if (name !== 'load') await ready;
    const work = () => calls[name](args ?? {}, event, isStopped);
    postMessage({ id, result: await (AT_ONCE.includes(name) ? work() : queued(args?.handle, work)) });
  } catch (error) {
    const { message = String(error), kind = 'input', name: type } = error ?? {};
    const broken = type === 'RuntimeError' ? 'broken' : kind;
    postMessage({ id, error: { message, kind: type === 'AbortError' ? 'stopped' : broken } });
  } finally {
    stopped.delete(id);
  }
});

ready.catch((error) => postMessage({ failed: String(error?.message ?? error) }));
