// Pellucid for scripts: language models in the browser, on WebGPU. `pellucid.d.ts` tells the types.
//
// The work is done in a worker; everything here only sends it messages (`link.js`), so the page stays smooth.

import { PellucidError, Events, close, link, stop } from './link.js';

export { PellucidError };

/** An argument of a template as JSON; what JSON has no form for would be lost there without a word. */
function json(name, value) {
  const isPlain = (part) => {
    if (part === null || typeof part === 'string' || typeof part === 'boolean') return true;
    if (typeof part === 'number') return Number.isFinite(part);
    const isObject = Array.isArray(part) || (typeof part === 'object' && [Object.prototype, null].includes(Object.getPrototypeOf(part)));
    return isObject && Object.values(part).every(isPlain);
  };
  try {
    // First, since it fails for what contains itself.
    const text = JSON.stringify(value);
    if (isPlain(value)) return text;
  } catch {
    // Told below.
  }
  throw new PellucidError(`the template argument ${name} is no value of JSON`, 'input');
}

/** The browser's GPU. */
export class Gpu {
  constructor(adapter) {
    this.adapter = adapter;
  }

  /** Starts the worker and looks for an adapter; `adapter` is null where there is none. */
  static async request() {
    return new Gpu((await link().call('request')).adapter);
  }

  /** Compares every kernel with plain Rust; `onProgress` gets the cases done and all cases. */
  doctor(onProgress) {
    return link().call('doctor', {}, { event: ({ done, total }) => onProgress?.(done, total) });
  }

  /** Bytes of WebAssembly's memory. */
  memory() {
    return link().call('memory');
  }

  /** Ends the worker and all that it holds. */
  close() {
    close();
  }
}

/** Text to tokens and back. */
export class Tokenizer {
  constructor({ handle, vocabSize }) {
    this.handle = handle;
    this.vocabSize = vocabSize;
  }

  /** Reads the text of a tokenizer.json. */
  static async load(json) {
    return new Tokenizer(await link().call('readTokenizer', { json }));
  }

  /** Learns one from a text; gives the text of its tokenizer.json. */
  static learn(text, options = {}) {
    return link().call('learnTokenizer', { text, options });
  }

  encode(text, options = {}) {
    return link().call('encode', { handle: this.handle, text, options });
  }

  decode(ids) {
    return link().call('decode', { handle: this.handle, ids });
  }

  /** Pieces, symbols and merges, in their order. */
  explain(text, options = {}) {
    return link().call('explain', { handle: this.handle, text, options });
  }

  /** The text of each token by itself. */
  texts(ids) {
    return link().call('texts', { handle: this.handle, ids });
  }

  free() {
    return link().call('free', { handle: this.handle });
  }
}

/** Looks inside a model: the analyses of `pellucid inspect`, with the fields of its --json. */
export class Inspect {
  #handle;

  constructor(handle) {
    this.#handle = handle;
  }

  #call(what, prompt, { edits = [], ablate = [], steer = [], ...options } = {}, other = []) {
    const changes = { edits, ablate, steer };
    return link().call('inspect', { handle: this.#handle, what, prompt, other, changes, options });
  }

  /** The named values of the model, with their shapes over a text of `length` tokens. */
  hooks(options) {
    return this.#call('hooks', [], options);
  }

  /** Named values of a text. */
  values(prompt, options) {
    return this.#call('values', prompt, options);
  }

  /** What the model would say after each part of it. */
  lens(prompt, options) {
    return this.#call('lens', prompt, options);
  }

  /** A token's logit as a sum over the parts of the model. */
  attribute(prompt, options) {
    return this.#call('attribute', prompt, options);
  }

  /** Attention patterns. */
  attention(prompt, options) {
    return this.#call('attention', prompt, options);
  }

  /** What heads attend to, on random tokens that repeat. */
  heads(options) {
    return this.#call('heads', [], options);
  }

  /** The model without each of its parts in turn. */
  ablate(prompt, options) {
    return this.#call('ablate', prompt, options);
  }

  /** Values of the clean text's run put into that of the corrupted one, piece by piece. */
  patch(clean, corrupted, options) {
    return this.#call('patch', clean, options, corrupted);
  }
}

/** A model that continues and scores texts. */
export class Model {
  constructor({ handle, info, tokenizer, checked }) {
    this.handle = handle;
    this.inspect = new Inspect(handle);
    this.info = info;
    this.checked = checked ?? null;
    this.tokenizer = tokenizer ? new Tokenizer(tokenizer) : null;
  }

  /**
   * Loads a model: 'built-in', an address, a File, several Files of one folder, or {kept: name}.
   * `onProgress` gets {phase, done, total}.
   */
  static async load(source, onProgress, { signal, ...options } = {}) {
    const event = (progress) => onProgress?.(progress);
    const files = (list) => ({ files: [...list] });
    let wanted = source;
    if (source instanceof File) wanted = files([source]);
    else if (source instanceof FileList || Array.isArray(source)) wanted = files(source);
    else if (source instanceof URL) wanted = source.href;
    const model = new Model(await link().call('load', { source: wanted, options }, { event, signal }));
    if (!signal?.aborted) return model;
    await model.free();
    throw stop();
  }

  /** Continues a prompt, a text or token ids: iterate over the tokens; `result` is the whole. */
  generate(prompt, { signal, onPrompt, ...request } = {}) {
    const begin = (push, own) => {
      const event = ({ token, prompt: ids, progress }) => {
        if (ids) run.promptTokens = ids;
        else if (progress) onPrompt?.(progress.read, progress.of);
        else push(token);
      };
      const args = { handle: this.handle, prompt, request };
      return link().call('generate', args, { event, signal: own });
    };
    const run = new Events(begin, signal);
    run.promptTokens = null;
    return run;
  }

  /** ln p of each token after the first, and the `top` most probable ones after each. */
  score(tokens, top) {
    return link().call('score', { handle: this.handle, tokens, top });
  }

  /** The most probable next tokens, by the model and as they would be drawn. */
  distribution(tokens, sampling = {}, most = 20, { signal } = {}) {
    return link().call('distribution', { handle: this.handle, tokens, sampling, most }, { signal });
  }

  /** The tokens of a text as a prompt begins. */
  encode(text) {
    return link().call('encodePrompt', { handle: this.handle, text });
  }

  /**
   * The tokens of a conversation, by the model's own template; `templateArguments` tells the template
   * more, such as `{ enable_thinking: false }`.
   */
  async encodeChat(messages, templateArguments = {}) {
    const named = Object.entries(templateArguments).map(([name, value]) => [name, json(name, value)]);
    return link().call('encodeChat', { handle: this.handle, messages, named });
  }

  /** Destroys the device; for tests. */
  loseDevice() {
    return link().call('loseDevice', { handle: this.handle });
  }

  /** Frees the model, its memory on the device, and its tokenizer. */
  free() {
    const also = this.tokenizer ? [this.tokenizer.handle] : [];
    return link().call('free', { handle: this.handle, also });
  }

  /** Models that this browser keeps: name, bytes, address, complete. */
  static kept() {
    return link().call('kept');
  }

  /** Keeps files for later visits; gives the name. */
  static keep(files, onProgress, { signal } = {}) {
    const event = ({ done, total }) => onProgress?.({ phase: 'keep', done, total });
    return link().call('keep', { source: { files: [...files] } }, { event, signal });
  }

  /** Deletes a kept model. */
  static forget(name) {
    return link().call('forget', { name });
  }
}

/** A new model that is trained on a text. */
export class Trainer {
  constructor({ handle, info }) {
    this.handle = handle;
    this.info = info;
  }

  /** Creates a new model; `tokenizer` is the text of a tokenizer.json. */
  static async create(text, tokenizer, settings = {}) {
    return new Trainer(await link().call('train', { text, tokenizer, settings }));
  }

  /**
   * Trains for a number of steps: iterate over their results. If the device is lost, training continues
   * with the last result of `model()`; `onRevived` is called with its number of steps.
   */
  run(steps, { signal, evaluateEvery = 0, evaluateBatches = 8, onRevived } = {}) {
    const args = { handle: this.handle, steps, evaluateEvery, evaluateBatches };
    const begin = (push, own) => {
      const event = (step) => ('revived' in step ? onRevived?.(step.revived) : push(step));
      return link().call('steps', args, { event, signal: own });
    };
    return new Events(begin, signal);
  }

  /** Destroys the device; for tests. */
  loseDevice() {
    return link().call('loseTrainer', { handle: this.handle });
  }

  /** The validation loss. */
  evaluate(batches = 8) {
    return link().call('evaluate', { handle: this.handle, batches });
  }

  /** The current model as a ZIP archive of a folder in Hugging Face's layout. */
  async save({ half = false } = {}) {
    const bytes = await link().call('save', { handle: this.handle, half });
    return new Blob([bytes], { type: 'application/zip' });
  }

  /** The current model, to generate with. */
  async model(name = 'trained here') {
    return new Model(await link().call('trained', { handle: this.handle, name }));
  }

  free() {
    return link().call('free', { handle: this.handle });
  }
}
