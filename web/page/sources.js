// Where a model's files come from: an address, files that were dropped, or what was kept before.
//
// Whatever is fetched goes to the browser's own file system first, in pieces, and is read from there
// by position: no file is ever in memory as a whole, and a fetch that was cut short goes on later.

const FOLDER = 'models';
const ABOUT = 'about.json';
const TENSORS = 'model.safetensors';
const INDEX = 'model.safetensors.index.json';
/** Files of a folder in Hugging Face's layout that a model can do without. */
const OPTIONAL = [
  'generation_config.json',
  'tokenizer.json',
  'tokenizer_config.json',
  'vocab.json',
  'merges.txt',
  'tokenizer.model',
  'added_tokens.json',
  'special_tokens_map.json',
  'chat_template.jinja',
];

const fault = (kind, message) => Object.assign(new Error(message), { kind });

/** Every read of the browser takes a third of a millisecond, however short: so many bytes at once. */
const WINDOW = 1 << 20;
/** Tensors that are joined are read side by side, so several windows stay open. */
const MOST_WINDOWS = 8;

/** A file of the page or of the disk, read in place. */
class BlobReader {
  #blob;
  #reader = new FileReaderSync();
  #windows = new Map();

  constructor(name, blob) {
    this.name = name;
    this.#blob = blob;
    this.length = blob.size;
  }

  read(offset, length) {
    const index = Math.floor(offset / WINDOW);
    const from = offset - index * WINDOW;
    if (from + length > WINDOW) return this.#bytes(offset, offset + length);
    return this.#window(index).subarray(from, from + length);
  }

  /** One of the last windows; the longest unused one makes room for another. */
  #window(index) {
    const known = this.#windows.get(index) ?? this.#bytes(index * WINDOW, (index + 1) * WINDOW);
    this.#windows.delete(index);
    this.#windows.set(index, known);
    if (this.#windows.size > MOST_WINDOWS) this.#windows.delete(this.#windows.keys().next().value);
    return known;
  }

  #bytes(from, to) {
    return new Uint8Array(this.#reader.readAsArrayBuffer(this.#blob.slice(from, to)));
  }
}

/** The readers of a model's files, and its name. */
export async function gather(source, options) {
  if (source?.base) return fetchPlain(source, options);
  if (source?.kept) return readKept(source.kept);
  if (source?.files) return { name: nameOf(source.files), readers: source.files.map(reader) };
  return fetchKept(String(source), options);
}

const reader = (file) => new BlobReader(file.name, file);

/** A single file's own name, or the folder's that several lie in. */
function nameOf(files) {
  if (files.length === 0) throw fault('input', 'no file was given');
  const folder = files[0].webkitRelativePath?.split('/')[0];
  return files.length === 1 ? files[0].name : folder || 'a folder';
}

/** Small files that belong to the page. */
async function fetchPlain({ base, names }, { progress, isStopped }) {
  let done = 0;
  const readers = await Promise.all(
    names.map(async (name) => {
      const response = await ask(new URL(name, base), {});
      const blob = await response.blob();
      if (isStopped()) throw fault('stopped', 'stopped');
      progress((done += blob.size), 0);
      return new BlobReader(name, blob);
    }),
  );
  return { name: base, readers };
}

/** What can be asked of a server, with its refusals as sentences, except those that are expected. */
async function ask(url, { headers, expected = [] }) {
  let response;
  try {
    response = await fetch(url, { headers });
  } catch {
    throw fault('file', allowed(url)
      ? `${url} cannot be reached: is the address right, and does its server allow other pages to read it?`
      : `${url} is not asked: this page reads from its own server, from https: addresses, and from localhost`);
  }
  if (response.ok || expected.includes(response.status)) return response;
  throw fault('file', `${url}: the server answers ${response.status} ${response.statusText}`);
}

const ours = (url) => url.origin === new URL(self.location.href).origin;

/** Whether the page's policy lets it read from there; see `index.html`. */
const allowed = (url) => url.protocol === 'https:' || ours(url) || (url.protocol === 'http:' && ['localhost', '127.0.0.1'].includes(url.hostname));

/** Fetches all that belongs to an address into the kept files, and reads it from there. */
async function fetchKept(address, options) {
  const url = new URL(address, self.location.href);
  const single = /\.(gguf|zip)$/i.test(url.pathname);
  const wanted = decodeURIComponent(url.pathname.replace(/\/(resolve\/[^/]+\/?)?$/, '').split('/').pop()) || url.host;
  // A model is known by its whole address: the same name may stand for another one elsewhere.
  const known = (await kept()).find(({ address }) => address === url.href);
  if (known?.complete) return readKept(known.name);
  const name = known?.name ?? (await free(wanted));
  const folder = await folderOf(name, true);
  const about = { address: url.href, complete: false, versions: (await readAbout(folder))?.versions ?? {} };
  await writeAbout(folder, about);
  const base = single ? url : new URL(url.href.endsWith('/') ? url : `${url}/`);
  // Which version of each file is here, so that no file is made of two.
  const versions = {
    of: (file) => about.versions[file],
    set: (file, version) => writeAbout(folder, Object.assign(about, { versions: { ...about.versions, [file]: version } })),
  };
  const all = { ...options, versions };
  const names = single ? [url.pathname.split('/').pop()] : await listed(base, folder, all);
  const from = (file) => (single ? url : new URL(file, base));
  for (const file of names) await fetchInto(folder, file, from(file), all);
  await writeAbout(folder, { ...about, complete: true });
  return readKept(name);
}

/** The names of a folder's files: those without which there is no model, and others that are there. */
async function listed(base, folder, options) {
  const names = ['config.json'];
  for (const name of OPTIONAL) {
    if (await fetchInto(folder, name, new URL(name, base), { ...options, optional: true })) names.push(name);
  }
  if (!(await fetchInto(folder, INDEX, new URL(INDEX, base), { ...options, optional: true }))) {
    return [...names, TENSORS];
  }
  const index = JSON.parse(await (await (await folder.getFileHandle(INDEX)).getFile()).text());
  return [...names, INDEX, ...new Set(Object.values(index.weight_map ?? {}))];
}

/** Fetches one file, from where an earlier try ended; false where an optional one is not there. */
async function fetchInto(folder, name, url, options) {
  const { progress, isStopped, optional, versions } = options;
  const handle = await folder.getFileHandle(name, { create: true });
  const file = await writable(handle, name);
  try {
    const { response, from } = await resumed(url, file.getSize(), versions.of(name), optional);
    if (!response.ok) {
      file.close();
      await folder.removeEntry(name);
      return false;
    }
    if (from === 0) {
      file.truncate(0);
      await versions.set(name, versionOf(response));
    }
    const next = versions.of(name) ? 'it goes on from there' : 'it begins anew then, as its server names no version';
    let at = from;
    const total = at + Number(response.headers.get('content-length') ?? 0);
    const stream = response.body.getReader();
    for (;;) {
      const { done, value } = await stream.read();
      if (done) break;
      write(file, value, at, name);
      at += value.length;
      progress(at, total);
      if (isStopped()) {
        await stream.cancel();
        throw fault('stopped', `stopped; try again, and ${next}`);
      }
    }
    file.truncate(at);
    if (total > at && !response.headers.get('content-encoding')) {
      throw fault('file', `${url} ended after ${at} of ${total} bytes; try again, and ${next}`);
    }
    return true;
  } finally {
    file.close();
  }
}

/**
 * A server's answer about a file of which `size` bytes of a `version` are here, and from where on it
 * gives them: from 0 unless it is certain that it is that version still.
 */
async function resumed(url, size, version, optional) {
  const expected = optional ? [401, 403, 404] : [];
  if (size > 0 && version) {
    // The last byte that is here is asked for too, so that there is one to get of a whole file, and
    // with it the version. Other servers would have to allow pages to ask by If-Range, and most do not.
    const from = size - 1;
    const headers = { Range: `bytes=${from}-`, ...(ours(url) ? { 'If-Range': version } : {}) };
    const response = await ask(url, { headers, expected: [...expected, 416] });
    const place = response.headers.get('content-range');
    const same = versionOf(response) === version && (!place || place.startsWith(`bytes ${from}-`));
    if (response.status === 206 && same) return { response, from };
    if (response.status !== 206 && response.status !== 416) return { response, from: 0 };
    // What is here is the beginning of another file.
    await response.body?.cancel();
  }
  return { response: await ask(url, { headers: {}, expected }), from: 0 };
}

/**
 * What tells one version of a file from another, byte by byte, as far as its server lets pages know;
 * a weak tag stands for many.
 */
function versionOf({ headers }) {
  const tag = headers.get('etag');
  return (tag?.startsWith('"') ? tag : headers.get('last-modified')) ?? null;
}

function write(file, bytes, at, name) {
  try {
    if (file.write(bytes, { at }) === bytes.length) return;
  } catch (error) {
    if (error.name !== 'QuotaExceededError') throw error;
  }
  throw fault('memory', `${name} does not fit into what this browser keeps for pages; delete other models first`);
}

/** A file to write to, which one tab may do at a time. */
async function writable(handle, name) {
  try {
    return await handle.createSyncAccessHandle();
  } catch {
    throw fault('file', `${name} is being written by another tab; wait for it, or close that tab`);
  }
}

async function root() {
  try {
    return await (await navigator.storage.getDirectory()).getDirectoryHandle(FOLDER, { create: true });
  } catch {
    throw fault('file', 'this browser keeps no files for this page (a private window?); drop the file itself instead');
  }
}

const safe = (name) => name.replace(/[^\w.-]+/g, '_').slice(0, 100) || 'model';

async function folderOf(name, create) {
  return (await root()).getDirectoryHandle(safe(name), { create });
}

/** A name for a folder of its own: nothing that is kept makes room for another model. */
async function free(name) {
  const taken = new Set((await kept()).map((model) => model.name));
  for (let number = 1; ; number++) {
    const wanted = number === 1 ? safe(name) : `${safe(name)}-${number}`;
    if (!taken.has(wanted)) return wanted;
  }
}

async function readAbout(folder) {
  try {
    return JSON.parse(await (await (await folder.getFileHandle(ABOUT)).getFile()).text());
  } catch {
    return null;
  }
}

async function writeAbout(folder, about) {
  const file = await writable(await folder.getFileHandle(ABOUT, { create: true }), ABOUT);
  try {
    file.truncate(0);
    file.write(new TextEncoder().encode(JSON.stringify(about)), { at: 0 });
  } finally {
    file.close();
  }
}

async function readKept(name) {
  const folder = await folderOf(name, false).catch(() => {
    throw fault('file', `${name} is not kept any more; load it again`);
  });
  const readers = [];
  for await (const [file, handle] of folder.entries()) {
    if (file !== ABOUT) readers.push(new BlobReader(file, await handle.getFile()));
  }
  return { name, readers };
}

/** What is kept: names, bytes, and whether they are whole. */
export async function kept() {
  return (await shelved()).map(({ name, bytes, address, complete }) => ({ name, bytes, address, complete }));
}

/** The same, and by which files those are known that came from no address. */
async function shelved() {
  const all = [];
  let models;
  try {
    models = await root();
  } catch {
    return all;
  }
  for await (const [name, folder] of models.entries()) {
    if (folder.kind !== 'directory') continue;
    let bytes = 0;
    for await (const [, handle] of folder.entries()) bytes += (await handle.getFile()).size;
    const about = await readAbout(folder);
    const { address = null, identity = null, complete = false } = about ?? {};
    all.push({ name, bytes, address, identity, complete });
  }
  return all;
}

/** Copies files that were dropped to the kept ones. */
export async function keep({ files }, options) {
  const identity = JSON.stringify(files.map(({ name, size, lastModified }) => [name, size, lastModified]).sort());
  const known = (await shelved()).find((model) => model.identity === identity && model.complete);
  if (known) return known.name;
  const name = await free(nameOf(files));
  const folder = await folderOf(name, true);
  await writeAbout(folder, { address: null, identity, complete: false });
  try {
    await copyInto(folder, files, options);
  } catch (error) {
    // Nobody can go on with half of a dropped file.
    await forget(name);
    throw error;
  }
  await writeAbout(folder, { address: null, identity, complete: true });
  return name;
}

async function copyInto(folder, files, { progress, isStopped }) {
  const total = files.reduce((sum, file) => sum + file.size, 0);
  let before = 0;
  for (const one of files) {
    const file = await writable(await folder.getFileHandle(one.name, { create: true }), one.name);
    try {
      file.truncate(0);
      let at = 0;
      const stream = one.stream().getReader();
      for (;;) {
        const { done, value } = await stream.read();
        if (done) break;
        write(file, value, at, one.name);
        at += value.length;
        progress(before + at, total);
        if (isStopped()) throw fault('stopped', 'stopped');
      }
      before += at;
    } finally {
      file.close();
    }
  }
}

/** Deletes a kept model. */
export async function forget(name) {
  await (await root()).removeEntry(name, { recursive: true });
}
