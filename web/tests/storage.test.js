// What the page keeps, with a file system in memory in the browser's place: whose bytes are whose.

import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer } from 'node:http';
import { join } from 'node:path';
import { after, beforeEach, test } from 'node:test';
import { pathToFileURL } from 'node:url';

const missing = () => Object.assign(new Error('nothing of that name'), { name: 'NotFoundError' });

class MemoryFile {
  kind = 'file';
  bytes = new Uint8Array(0);

  constructor(name) {
    this.name = name;
  }

  async getFile() {
    return new File([this.bytes], this.name);
  }

  async createSyncAccessHandle() {
    return {
      getSize: () => this.bytes.length,
      truncate: (length) => (this.bytes = this.bytes.slice(0, length)),
      close: () => {},
      write: (bytes, { at }) => {
        const longer = new Uint8Array(Math.max(this.bytes.length, at + bytes.length));
        longer.set(this.bytes);
        longer.set(bytes, at);
        this.bytes = longer;
        return bytes.length;
      },
    };
  }
}

class MemoryFolder {
  kind = 'directory';
  #all = new Map();

  async #get(name, create, Kind) {
    if (!this.#all.has(name)) {
      if (!create) throw missing();
      this.#all.set(name, new Kind(name));
    }
    return this.#all.get(name);
  }

  getDirectoryHandle(name, { create = false } = {}) {
    return this.#get(name, create, MemoryFolder);
  }

  getFileHandle(name, { create = false } = {}) {
    return this.#get(name, create, MemoryFile);
  }

  async removeEntry(name) {
    if (!this.#all.delete(name)) throw missing();
  }

  async *entries() {
    yield* this.#all.entries();
  }
}

let storage;
Object.defineProperty(globalThis, 'navigator', { configurable: true, value: { storage: { getDirectory: async () => storage } } });
globalThis.self = { location: { href: 'http://127.0.0.1/page/' } };
globalThis.FileReaderSync = class {};

const page = join(process.env.PELLUCID_SITE ?? '.', 'page/sources.js');
const { gather, keep, kept } = await import(pathToFileURL(page));

/**
 * Files by path, with their versions (a tag, or a date); the next answer is cut off after so many bytes.
 * A server that is `plain` knows no If-Range.
 */
const served = { files: {}, cut: null, plain: false, ranges: [], conditions: [] };
const server = createServer((asked, answer) => {
  const file = served.files[asked.url];
  if (!file) return answer.writeHead(404).end();
  const { range, 'if-range': condition } = asked.headers;
  served.conditions.push(condition ?? null);
  const version = file.version ? { etag: file.version } : file.date ? { 'last-modified': file.date } : {};
  const obeyed = range && (served.plain || !condition || [file.version, file.date].includes(condition));
  const from = obeyed ? Number(/bytes=(\d+)-/.exec(range)[1]) : 0;
  served.ranges.push(Number(/bytes=(\d+)-/.exec(range ?? '')?.[1] ?? 0));
  if (obeyed && from >= file.text.length) return answer.writeHead(416).end();
  const bytes = Buffer.from(file.text).subarray(from);
  answer.writeHead(obeyed ? 206 : 200, { ...version, 'content-length': bytes.length });
  answer.flushHeaders();
  if (served.cut === null) return answer.end(bytes);
  answer.write(bytes.subarray(0, served.cut), () => setTimeout(() => answer.destroy(), 50));
  served.cut = null;
});
server.listen(0, '127.0.0.1');
await once(server, 'listening');
const address = `http://127.0.0.1:${server.address().port}`;
after(() => server.close());

const options = { progress: () => {}, isStopped: () => false };
const text = async (name) => {
  const folder = await (await storage.getDirectoryHandle('models')).getDirectoryHandle(name);
  const found = {};
  for await (const [file, handle] of folder.entries()) found[file] = new TextDecoder().decode(handle.bytes);
  delete found['about.json'];
  return found;
};

beforeEach(() => {
  storage = new MemoryFolder();
  Object.assign(served, { files: {}, cut: null, plain: false, ranges: [], conditions: [] });
  elsewhere();
});

/** Whether the page comes from the server of the models, or from another one. */
const here = () => (globalThis.self.location.href = `${address}/page/`);
const elsewhere = () => (globalThis.self.location.href = 'http://127.0.0.1/page/');

test('models of one name from two addresses are two models', async () => {
  served.files = { '/a/m.gguf': { text: 'first', version: '"1"' }, '/b/m.gguf': { text: 'second', version: '"2"' } };
  const first = await gather(`${address}/a/m.gguf`, options);
  const second = await gather(`${address}/b/m.gguf`, options);
  assert.notEqual(first.name, second.name);
  assert.deepEqual(await text(first.name), { 'm.gguf': 'first' });
  assert.deepEqual(await text(second.name), { 'm.gguf': 'second' });
  served.ranges = [];
  for (const [path, name] of [['/a/m.gguf', first.name], ['/b/m.gguf', second.name]]) {
    assert.equal((await gather(`${address}${path}`, options)).name, name);
  }
  assert.deepEqual(served.ranges, [], 'what is whole is not fetched again');
  // One that cannot be fetched takes nothing away.
  await assert.rejects(gather(`${address}/c/m.gguf`, options), /404/);
  const all = (await kept()).filter(({ complete }) => complete);
  assert.deepEqual(all.map(({ name }) => name).sort(), [first.name, second.name].sort());
});

test('a fetch goes on where it ended, if it is still the same file', async () => {
  const place = `${address}/a/m.gguf`;
  served.files = { '/a/m.gguf': { text: 'all of the first text', version: '"1"' } };
  served.cut = 6;
  await assert.rejects(gather(place, options));
  const [{ name, bytes, complete }] = await kept();
  assert.equal(complete, false);
  assert.ok(bytes > 0);
  assert.deepEqual(await text(name), { 'm.gguf': 'all of' });
  await gather(place, options);
  // From the last byte on that is here.
  assert.deepEqual(served.ranges, [0, 5]);
  assert.deepEqual(await text(name), { 'm.gguf': 'all of the first text' });
});

test('its own server is asked by If-Range, others are not', async () => {
  const place = `${address}/a/m.gguf`;
  for (const [set, version, condition] of [
    [here, { version: '"1"' }, '"1"'],
    [here, { date: 'Mon, 30 Nov 2026 10:00:00 GMT' }, 'Mon, 30 Nov 2026 10:00:00 GMT'],
    [elsewhere, { version: '"1"' }, null],
  ]) {
    storage = new MemoryFolder();
    set();
    served.files = { '/a/m.gguf': { text: 'all of the first text', ...version } };
    Object.assign(served, { cut: 6, ranges: [], conditions: [] });
    await assert.rejects(gather(place, options), /goes on from there|terminated/);
    const { name } = await gather(place, options);
    assert.deepEqual([served.ranges, served.conditions], [[0, 5], [null, condition]]);
    assert.deepEqual(await text(name), { 'm.gguf': 'all of the first text' });
  }
});

test('without a version that stands for its bytes, a file is fetched from its beginning', async () => {
  const place = `${address}/a/m.gguf`;
  for (const version of ['W/"1"', undefined]) {
    storage = new MemoryFolder();
    here();
    served.files = { '/a/m.gguf': { text: 'all of the first text', version } };
    Object.assign(served, { cut: 6, ranges: [] });
    await assert.rejects(gather(place, options));
    served.files = { '/a/m.gguf': { text: 'ALL OF THE FIRST TEXT', version } };
    const { name } = await gather(place, options);
    assert.deepEqual(served.ranges, [0, 0]);
    assert.deepEqual(await text(name), { 'm.gguf': 'ALL OF THE FIRST TEXT' });
  }
});

test('a file that has changed meanwhile is fetched from its beginning', async () => {
  const place = `${address}/a/m.gguf`;
  for (const [set, plain, other, ranges] of [
    [here, false, 'and another one, longer', [0, 5]],
    [here, true, 'and another one, longer', [0, 5, 0]],
    [elsewhere, false, 'and another one, longer', [0, 5, 0]],
    [elsewhere, false, 'short', [0, 5, 0]],
  ]) {
    storage = new MemoryFolder();
    set();
    served.files = { '/a/m.gguf': { text: 'all of the first text', version: '"1"' } };
    Object.assign(served, { cut: 6, plain, ranges: [] });
    await assert.rejects(gather(place, options));
    served.files = { '/a/m.gguf': { text: other, version: '"2"' } };
    const { name } = await gather(place, options);
    assert.deepEqual(served.ranges, ranges);
    assert.deepEqual(await text(name), { 'm.gguf': other });
    assert.deepEqual((await kept()).map((model) => model.complete), [true]);
  }
});

test('a folder is of one version, also where a file that was whole has changed', async () => {
  const config = '{"of": 1}';
  const files = (number, weights) => ({
    '/a/config.json': { text: config.replace('1', number), version: `"c${number}"` },
    '/a/model.safetensors': { text: weights, version: `"w${number}"` },
  });
  served.files = files(1, 'the weights of the first');
  await gather(`${address}/a/`, options);
  const [{ name }] = await kept();
  const folder = await (await storage.getDirectoryHandle('models')).getDirectoryHandle(name);
  const weights = await folder.getFileHandle('model.safetensors');
  // As a tab that was closed leaves them: the configuration is whole, the weights are not.
  weights.bytes = weights.bytes.slice(0, 6);
  const about = await folder.getFileHandle('about.json');
  about.bytes = new TextEncoder().encode(new TextDecoder().decode(about.bytes).replace('"complete":true', '"complete":false'));
  served.files = files(2, 'the weights of the other');
  await gather(`${address}/a/`, options);
  assert.deepEqual(await text(name), { 'config.json': config.replace('1', 2), 'model.safetensors': 'the weights of the other' });
});

test('a whole model outlives whatever its address gives later', async () => {
  const place = `${address}/a/m.gguf`;
  served.files = { '/a/m.gguf': { text: 'all of the first text', version: '"1"' } };
  const { name } = await gather(place, options);
  served.files = { '/a/m.gguf': { text: 'another, of which there is no end', version: '"2"' } };
  Object.assign(served, { cut: 6, ranges: [] });
  assert.equal((await gather(place, options)).name, name);
  assert.equal((await gather({ kept: name }, options)).readers.length, 1);
  assert.deepEqual([served.ranges, await text(name)], [[], { 'm.gguf': 'all of the first text' }]);
  // The other one by another address, which fails midway.
  served.files['/b/m.gguf'] = served.files['/a/m.gguf'];
  await assert.rejects(gather(`${address}/b/m.gguf`, options));
  assert.deepEqual(await text(name), { 'm.gguf': 'all of the first text' });
  assert.deepEqual((await kept()).map((model) => [model.name === name, model.complete]), [[true, true], [false, false]]);
});

test('an address that the page may not read says which ones it may', async () => {
  await assert.rejects(gather('ftp://127.0.0.1/m.gguf', options), /its own server, from https: addresses, and from localhost/);
  await assert.rejects(gather('http://127.0.0.1:9/m.gguf', options), /cannot be reached/);
});

test('dropped files of one name are kept side by side, and none twice', async () => {
  const file = (content, lastModified) => new File([content], 'm.gguf', { lastModified });
  const first = await keep({ files: [file('first', 1)] }, options);
  const second = await keep({ files: [file('other', 2)] }, options);
  assert.notEqual(first, second);
  assert.equal(await keep({ files: [file('first', 1)] }, options), first);
  assert.deepEqual([await text(first), await text(second)], [{ 'm.gguf': 'first' }, { 'm.gguf': 'other' }]);
  // One that is stopped leaves what there was.
  await assert.rejects(keep({ files: [file('third', 3)] }, { ...options, isStopped: () => true }), /stopped/);
  assert.deepEqual((await kept()).map(({ name, complete }) => [name, complete]), [[first, true], [second, true]]);
});
