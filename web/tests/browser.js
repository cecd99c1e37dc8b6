// A browser on a software adapter, a plain file server, and what the native program says.

import { spawn } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { chromium } from 'playwright-core';

const setting = (name) => {
  const value = process.env[name];
  if (!value) throw new Error(`${name} is not set: these tests are steps of cargo xtask ci, such as --only browser-truth`);
  return value;
};

/** What the native program printed for the same questions. */
const printed = JSON.parse(readFileSync(setting('PELLUCID_NATIVE'), 'utf8'));

export const native = {
  builtIn: { prompt: printed.prompt, tokens: printed.written.tokens, score: printed.scored },
  drawn: printed.drawn,
  smollm2: { prompt: printed.question, tokens: printed.real.tokens, score: printed.realScored },
  answer: printed.answer.text,
  inside: { changed: printed.changed, seen: printed.seen, attributed: printed.attributed, ablated: printed.ablated },
  losses: printed.trained.map(({ loss }) => loss).filter((loss) => loss !== undefined),
};

/** Where screenshots go, for people to look at. */
export const screens = setting('PELLUCID_SCREENS');

const QUIET = [
  '--headless=new', '--no-sandbox', '--disable-quic', '--no-first-run', '--disable-background-networking',
  '--disable-component-update', '--disable-sync',
];
const WEBGPU = ['--enable-unsafe-webgpu', '--use-webgpu-adapter=swiftshader', '--enable-features=Vulkan'];

/** Serves the folder of the tests under a path of its own. */
export async function serve() {
  const server = spawn(setting('PELLUCID_SERVER'), ['serve', setting('PELLUCID_SITE'), '0', 'some/where']);
  const address = await new Promise((found, failed) => {
    server.stdout.once('data', (line) => found(String(line).trim()));
    server.once('exit', (code) => failed(new Error(`the file server ended with ${code}`)));
  });
  return { address, close: () => server.kill() };
}

/** Starts Chromium; without WebGPU it has no adapter. */
export function launch({ webgpu = true, profile } = {}) {
  const executablePath = ['/usr/bin/chromium', process.env.PELLUCID_CHROMIUM].find((path) => path && existsSync(path));
  if (!executablePath) throw new Error('Chromium is not installed');
  const options = { executablePath, args: webgpu ? [...QUIET, ...WEBGPU] : [...QUIET, '--disable-features=WebGPU'] };
  return profile ? chromium.launchPersistentContext(profile, options) : chromium.launch(options);
}

/** Opens the page and waits until it can be used; `faults` hears what the console complains of. */
export async function open(browser, address, { view = '', faults = [], ...options } = {}) {
  const page = await browser.newPage(options);
  page.on('console', (message) => message.type() === 'error' && faults.push(message.text()));
  page.on('pageerror', (error) => faults.push(error.stack));
  // Other tests may keep the machine busy: a wait ends what is stuck, and is no measure of time.
  page.setDefaultTimeout(300_000);
  await page.goto(`${address}page/${view}`);
  await page.waitForSelector('body[data-ready]');
  return page;
}

/** The largest distance between numbers in the same places. */
export const distance = (a, b) => a.reduce((most, value, at) => Math.max(most, Math.abs(value - b[at])), a.length === b.length ? 0 : Infinity);
