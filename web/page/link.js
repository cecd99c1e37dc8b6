// The way to the worker, for `pellucid.js`: calls with their results, and events before these.

/** What went wrong; `kind` tells it from other things. */
export class PellucidError extends Error {
  constructor(message, kind) {
    super(message);
    this.name = 'PellucidError';
    this.kind = kind;
  }
}

/** The error of a call that was stopped. */
export const stop = () => new PellucidError('stopped', 'stopped');

/** The worker, its pending calls, and the way to it. */
class Link {
  #worker;
  #pending = new Map();
  #last = 0;

  constructor() {
    this.#worker = new Worker(new URL('./worker.js', import.meta.url), { type: 'module' });
    this.#worker.addEventListener('message', ({ data }) => this.#hear(data));
    this.#worker.addEventListener('error', (error) => {
      this.#end(new PellucidError(`the worker failed: ${error.message || 'it cannot be loaded'}`, 'broken'));
    });
  }

  /** Calls the worker; `event` is called with what comes before the result. */
  call(name, args, { event, signal } = {}) {
    if (signal?.aborted) return Promise.reject(stop());
    if (!this.#worker) return Promise.reject(new PellucidError('it was closed', 'broken'));
    const id = (this.#last += 1);
    const aborted = () => this.#worker?.postMessage({ stop: id });
    signal?.addEventListener('abort', aborted, { once: true });
    return new Promise((resolve, reject) => {
      this.#pending.set(id, { resolve, reject, event });
      this.#worker.postMessage({ id, name, args });
    }).finally(() => signal?.removeEventListener('abort', aborted));
  }

  #hear({ id, event, result, error, failed }) {
    if (failed) return this.#end(new PellucidError(failed, 'broken'));
    const pending = this.#pending.get(id);
    if (!pending) return undefined;
    if (event !== undefined) return pending.event?.(event);
    this.#pending.delete(id);
    return error ? pending.reject(new PellucidError(error.message, error.kind)) : pending.resolve(result);
  }

  #end(error) {
    this.#pending.forEach(({ reject }) => reject(error));
    this.#pending.clear();
  }

  close() {
    this.#worker?.terminate();
    this.#worker = null;
    this.#end(new PellucidError('it was closed', 'broken'));
  }
}

let shared = null;

/** The page's only worker, started when it is first called. */
export const link = () => (shared ??= new Link());

/** Ends the worker and all that it holds. */
export function close() {
  shared?.close();
  shared = null;
}

/** Events of a call as something to iterate over; leaving the loop stops the call. */
export class Events {
  #ready = [];
  #wake = null;
  #over = false;
  #failure = null;
  #abort = new AbortController();

  /** `begin` gets the function that takes events, and a signal; gives a promise of the end. */
  constructor(begin, signal) {
    signal?.addEventListener('abort', () => this.stop(), { once: true });
    if (signal?.aborted) this.stop();
    /** What the call gives at its end. */
    this.result = begin((event) => this.#push(event), this.#abort.signal);
    this.result.then(
      () => this.#finish(null),
      (error) => this.#finish(error.kind === 'stopped' ? null : error),
    );
  }

  #push(event) {
    this.#ready.push(event);
    this.#wake?.();
  }

  #finish(error) {
    this.#over = true;
    this.#failure = error;
    this.#wake?.();
  }

  /** Ends it at the next token or step. */
  stop() {
    this.#abort.abort();
  }

  async *[Symbol.asyncIterator]() {
    try {
      for (;;) {
        while (this.#ready.length > 0) yield this.#ready.shift();
        if (this.#failure) throw this.#failure;
        if (this.#over) return;
        await new Promise((wake) => (this.#wake = wake));
      }
    } finally {
      this.stop();
    }
  }
}
