// The package's types: what people write compiles, what is wrong does not, and nothing is missing.

import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { copyFileSync, readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { test } from 'node:test';

const tests = import.meta.dirname ?? new URL('.', import.meta.url).pathname;
const page = join(process.env.PELLUCID_SITE, 'page');

test('the types of the package', () => {
  copyFileSync(join(page, 'pellucid.d.ts'), join(tests, 'pellucid.d.ts'));
  const tsc = createRequire(import.meta.url).resolve('typescript/bin/tsc');
  const options = ['--noEmit', '--strict', '--target', 'es2022', '--module', 'nodenext', '--lib', 'es2022,dom,dom.iterable,esnext.disposable'];
  try {
    execFileSync(process.execPath, [tsc, ...options, join(tests, 'usage.ts')], { encoding: 'utf8' });
  } catch ({ stdout }) {
    assert.fail(stdout);
  }
});

test('every method has its type', () => {
  const script = ['link.js', 'pellucid.js'].map((name) => readFileSync(join(page, name), 'utf8')).join('\n');
  const types = readFileSync(join(page, 'pellucid.d.ts'), 'utf8');
  const classes = [...script.matchAll(/^export class (\w+)[^{]*{([\s\S]*?)^}/gm)];
  assert.equal(classes.length, 7);
  for (const [, name, body] of classes) {
    const typed = types.match(new RegExp(`^export (?:declare class|interface) ${name}\\b[^{]*{([\\s\\S]*?)^}`, 'm'));
    assert.ok(typed, `${name} has no type`);
    for (const [, method] of body.matchAll(/^ {2}(?:static )?(?:async )?(?!constructor)(\w+)\(.*{$/gm)) {
      assert.match(typed[1], new RegExp(`\\b${method}\\(`), `${name}.${method}`);
    }
  }
});
