// What was found out about this browser's GPU, kept from visit to visit in IndexedDB.

const STORE = 'records';

/** Texts by their names, read once and written behind. */
export class Shelf {
  #texts = new Map();
  #database = null;
  #owner = '';

  /** Opens the shelf of one browser and adapter; without IndexedDB it forgets at the end. */
  static async open(owner) {
    const shelf = new Shelf();
    shelf.#owner = owner;
    try {
      shelf.#database = await request(openDatabase());
      const store = shelf.#database.transaction(STORE).objectStore(STORE);
      const [keys, values] = await Promise.all([request(store.getAllKeys()), request(store.getAll())]);
      keys.forEach((key, at) => shelf.#texts.set(key, values[at]));
    } catch {
      shelf.#database = null;
    }
    return shelf;
  }

  get(name) {
    return this.#texts.get(this.#key(name));
  }

  set(name, text) {
    const key = this.#key(name);
    // What was kept under another name is of shaders that have changed since.
    const old = [...this.#texts.keys()].filter((own) => own.startsWith(this.#owner) && own !== key);
    old.forEach((own) => this.#texts.delete(own));
    this.#texts.set(key, text);
    try {
      const store = this.#database?.transaction(STORE, 'readwrite').objectStore(STORE);
      old.forEach((own) => store?.delete(own));
      store?.put(text, key);
    } catch {
      // It is found out again at the next visit.
    }
  }

  /** How many variants of kernels were found right on this adapter, and which are left out. */
  checked() {
    const own = [...this.#texts].filter(([name]) => name.startsWith(this.#owner)).map(([, text]) => JSON.parse(text));
    return {
      passed: own.reduce((sum, record) => sum + (record.passed?.length ?? 0), 0),
      excluded: own.flatMap((record) => record.profile?.excluded ?? []),
    };
  }

  #key(name) {
    return `${this.#owner} ${name}`;
  }
}

function openDatabase() {
  const opening = indexedDB.open('pellucid', 1);
  opening.onupgradeneeded = () => opening.result.createObjectStore(STORE);
  return opening;
}

function request(asked) {
  return new Promise((done, failed) => {
    asked.onsuccess = () => done(asked.result);
    asked.onerror = () => failed(asked.error);
    asked.onblocked = () => failed(new Error('blocked by another tab'));
  });
}
