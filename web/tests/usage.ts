// What people write with the package; it is compiled, and not run.

import { Gpu, Model, PellucidError, Tokenizer, Trainer } from './pellucid.js';
import type { Generation, Kept, Progress, Step, Token } from './pellucid.js';

export async function write(file: File, shown: (text: string) => void): Promise<Generation> {
  const gpu = await Gpu.request();
  if (gpu.adapter === null) shown('by the reference');
  const model = await Model.load(file, ({ phase, done, total }: Progress) => shown(`${phase} ${done}/${total}`), { context: 512 });
  const run = model.generate('Once upon a time', { maxNewTokens: 20, logprobs: 3, sampling: { temperature: 0.8, seed: 1 } });
  for await (const token of run) {
    const { text, logprob, top }: Token = token;
    shown(`${text} ${logprob ?? 0} ${top?.length ?? 0}`);
  }
  return run.result;
}

export async function learn(text: string): Promise<Blob> {
  const trainer = await Trainer.create(text, await Tokenizer.learn(text, { vocabSize: 512 }), { layers: 2, decay: 'cosine' });
  let last: Step | null = null;
  for await (const step of trainer.run(100, { evaluateEvery: 10 })) last = step;
  if (last !== null && last.loss > 5) throw new Error('it learned nothing');
  return trainer.save({ half: true });
}

export async function rest(): Promise<Kept[]> {
  try {
    const model = await Model.load('built-in');
    const ids = await model.encode('a');
    const { perplexity } = await model.score(ids, 2);
    const { tokens } = await model.distribution(ids, { topK: 4 }, 8, { signal: AbortSignal.timeout(60_000) });
    const pieces = await model.tokenizer?.explain('a b');
    if ((perplexity ?? 0) > tokens.length + (pieces?.length ?? 0)) await model.free();
  } catch (error) {
    if (error instanceof PellucidError && error.kind === 'memory') await Model.forget('large');
  }
  return Model.kept();
}

export async function look(model: Model): Promise<number> {
  const { labels, kl } = await model.inspect.lens('a b', { top: 3, target: ' c', ablate: ['L1H0'] });
  const { values } = await model.inspect.values([1, 2], { hooks: ['resid_post.-1'], edits: ['resid_pre.1[0] *= 0'] });
  const steer = [{ vector: { layer: 1, vector: [0.5] }, scale: 4 }];
  const { tokens } = await model.generate('a', { steer }).result;
  return labels.length + (kl[0]?.[0] ?? 0) + Object.keys(values).length + tokens.length;
}

// @ts-expect-error: there is no such part.
export const part = (model: Model) => model.inspect.ablate('a', { what: 'neuron' });

export const quiet = (model: Model) =>
  model.encodeChat([{ role: 'user', content: 'a' }], { enable_thinking: false, tools: [{ name: 'add', parameters: null }] });

// @ts-expect-error: a template takes values of JSON.
export const clock = (model: Model) => model.encodeChat([], { now: () => 1 });

// @ts-expect-error: there is no such setting.
export const wrong = (model: Model) => model.generate('a', { sampling: { temprature: 1 } });
