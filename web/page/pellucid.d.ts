// All types of the package: one file, since package.json names one.

/** Why something failed. */
export type Kind =
  | 'adapter' | 'broken' | 'context' | 'device' | 'diverged' | 'file' | 'input' | 'lost' | 'memory'
  | 'stopped' | 'unsupported';

export declare class PellucidError extends Error {
  readonly kind: Kind;
}

/** What the browser says about its adapter. */
export interface Adapter {
  name: string;
  vendor: string;
  architecture: string;
  features: string[];
  limits: { maxStorageBufferBindingSize: number; maxBufferSize: number };
}

/** The result for one variant of a kernel. */
export interface Verdict {
  kernel: string;
  variant: string;
  /** The largest relative error; null if a value was not a number. */
  max_rel_err: number | null;
  ok: boolean;
}

export declare class Gpu {
  /** Starts the worker and looks for an adapter. */
  static request(): Promise<Gpu>;
  /** Null without WebGPU: models then run on the CPU, by the reference. */
  readonly adapter: Adapter | null;
  /** Compares every kernel with plain Rust. */
  doctor(
    onProgress?: (done: number, total: number) => void,
  ): Promise<{ kernels: Verdict[]; ok: boolean }>;
  /** Size of WebAssembly's memory in bytes. */
  memory(): Promise<number>;
  /** Ends the worker and frees all its objects. */
  close(): void;
}

export interface Encoding {
  /** Whether a beginning-of-text token may be added; true. */
  bos?: boolean;
  /** Whether names of special tokens in the text are parsed as such; false. */
  special?: boolean;
}

export interface Piece {
  /** The part of the text. */
  text: string;
  /** The symbols before any merge, as the vocabulary spells them. */
  symbols: string[];
  /** The merges in order; null if the tokenizer does not merge, or if there are over 1000 symbols. */
  merges: { rank: number; at: number; symbol: string }[] | null;
  ids: number[];
}

export declare class Tokenizer {
  /** Reads the text of a tokenizer.json. */
  static load(json: string): Promise<Tokenizer>;
  /** Trains one on a text (its characters, without `vocabSize`); returns the text of its tokenizer.json. */
  static learn(
    text: string,
    options?: { vocabSize?: number; minFrequency?: number; special?: string[] },
  ): Promise<string>;
  readonly vocabSize: number;
  encode(text: string, options?: Encoding): Promise<number[]>;
  decode(ids: ArrayLike<number>): Promise<string>;
  explain(text: string, options?: Encoding): Promise<Piece[]>;
  /** The text of each token on its own. */
  texts(ids: ArrayLike<number>): Promise<string[]>;
  free(): Promise<void>;
}

/** How the next token is drawn; by default, the most probable one. */
export interface Sampling {
  temperature?: number;
  topK?: number;
  topP?: number;
  minP?: number;
  repetitionPenalty?: number;
  presencePenalty?: number;
  frequencyPenalty?: number;
  seed?: number;
}

/** A text, or token ids. */
export type Text = string | ArrayLike<number>;

/** A vector as Neuronpedia writes it. */
export interface Vector {
  modelId?: string;
  layer?: number | string;
  hookName?: string;
  vector: number[];
  strength?: number;
}

/** Changes of named values, as the program's options write them. */
export interface Changes {
  /** `NAME[INDEX, ...] OPERATION [@prompt | @drawn]`, such as `resid_post.5[-1] *= 0`; operations on numbers. */
  edits?: string[];
  /** Parts to take out: `L5`, `L5.attn`, `L5.mlp`, `L5H1` or `L5N123`. */
  ablate?: string[];
  /** Vectors that are added to the residual stream, after the layers from the first to the last one. */
  steer?: { vector: Vector; scale?: number; layers?: [number, number] }[];
}

export interface Request extends Changes {
  /** 128. */
  maxNewTokens?: number;
  stop?: string[];
  ignoreEos?: boolean;
  /** How many of the most probable tokens to report at each position. */
  logprobs?: number;
  /** Reuse the KV cache for the beginning that the prompt shares with the text before. */
  reusePrefix?: boolean;
  sampling?: Sampling;
  /** Called with the number of prompt tokens processed so far, and in all. */
  onPrompt?: (read: number, of: number) => void;
  signal?: AbortSignal;
}

export interface Token {
  id: number;
  /** The text that can be shown now: whole characters. */
  text: string;
  /** ln p; null unless `logprobs` was given. */
  logprob: number | null;
  top: { id: number; text: string; logprob: number }[] | null;
}

export interface Generation {
  tokens: number[];
  text: string | null;
  finish: 'length' | 'eos' | 'stop' | 'context' | 'interrupted';
  reused: number;
}

/** Events to iterate over; leaving the loop stops their source. */
export interface Events<Event, Result> extends AsyncIterable<Event> {
  /** The result at the end, however it ends. */
  readonly result: Promise<Result>;
  stop(): void;
}

export interface Progress {
  phase: 'fetch' | 'load' | 'keep';
  /** Bytes. */
  done: number;
  /** Bytes in all; 0 if unknown. */
  total: number;
}

export interface Kept {
  name: string;
  bytes: number;
  address: string | null;
  /** Whether all of it is there; if not, loading its address resumes. */
  complete: boolean;
}

export interface ModelInfo {
  name: string;
  architecture: string;
  layers: number;
  heads: number;
  kvHeads: number;
  width: number;
  vocab: number;
  /** The context length in use. */
  context: number;
  /** The model's own context length. */
  ownContext: number;
  /** Null for the reference. */
  adapter: Adapter | null;
  /** Bytes on the device; null for the reference. */
  memory: { weights: number; cache: number; activations: number } | null;
  /** A name for the selected variants; null for the reference. */
  plan: string | null;
  chat: boolean;
  eos: number[];
}

export interface LoadOptions {
  context?: number;
  backend?: 'auto' | 'gpu' | 'cpu';
  cacheType?: 'f32' | 'f16';
  quantize?: 'q8_0' | 'q4_0';
  /** The largest binding in bytes; for tests. */
  maxBinding?: number;
  signal?: AbortSignal;
}

/** A value of JSON. */
export type Json = null | boolean | number | string | Json[] | { [name: string]: Json };

/** Numbers by layer and head. */
export type ByHead = (number | null)[][];

/**
 * Looks inside a model. Names, shapes and fields are those of `pellucid inspect`; layers, heads and positions
 * count from 0, a range of positions is half-open, and numbers that are not finite are null. A token is its
 * id, or a text that is one token.
 */
export declare class Inspect {
  /** The named values, with their shapes over a text of `length` tokens: 1. */
  hooks(options?: {
    length?: number;
  }): Promise<{ hooks: { name: string; aliases: string[]; shape: number[]; bytes: number; meaning: string }[] }>;
  /** Named values, by their classic names; `data` is flat. With `top`, the most probable tokens in place of logits. */
  values(
    prompt: Text,
    options: Changes & { hooks?: string[]; logits?: boolean; top?: number; positions?: [number, number] },
  ): Promise<{
    tokens: number[];
    values: { [name: string]: { shape: number[]; data: (number | null)[] } };
    logits?: (number | null)[][];
    top?: [number, number | null][][];
  }>;
  /** What the model would say after each part of it: for each label and position. */
  lens(
    prompt: Text,
    options?: Changes & { top?: number; target?: number | string; positions?: [number, number] },
  ): Promise<{
    tokens: number[];
    labels: string[];
    top: [number, number | null][][][];
    entropy: (number | null)[][];
    kl: (number | null)[][];
    rank: (number | null)[][];
  }>;
  /** A token's logit, before the soft cap, as a sum over the parts of the model. */
  attribute(
    prompt: Text,
    options: Changes & { answer: number | string; versus?: number | string; position?: number; neurons?: number },
  ): Promise<{
    tokens: number[];
    components: { name: string; value: number }[];
    heads: ByHead;
    neurons: { layer: number; neuron: number; value: number }[];
    total: number;
    logit: number;
  }>;
  /** Patterns: by layer, head, query and key. */
  attention(
    prompt: Text,
    options?: Changes & { layer?: number; head?: number },
  ): Promise<{ tokens: number[]; pattern: (number | null)[][][][] }>;
  /** What heads attend to, on random tokens that repeat after `period`: 50. */
  heads(options?: Changes & { period?: number; seed?: number }): Promise<{
    tokens: number[];
    previous: ByHead;
    duplicate: ByHead;
    induction: ByHead;
    current: ByHead;
    first: ByHead;
    prefix_matching: ByHead;
    copying_olsson: ByHead;
  }>;
  /** The model without each of its parts in turn. */
  ablate(
    prompt: Text,
    options: Changes & {
      what: 'head' | 'attn' | 'mlp' | 'layer';
      /** `zero`, or `mean`: the part's own mean over the text. */
      how?: 'zero' | 'mean';
      metric?: 'loss' | 'logit_diff';
      answer?: number | string;
      versus?: number | string;
    },
  ): Promise<{ tokens: number[]; baseline: number | null; value: ByHead | (number | null)[] }>;
  /** Values of the clean run put into the corrupted one, piece by piece; `value` is nested as `axes` say. */
  patch(
    clean: Text,
    corrupted: Text,
    options: Changes & {
      what: 'resid_pre' | 'resid_mid' | 'attn_out' | 'mlp_out' | 'z' | 'q' | 'k' | 'v' | 'pattern';
      by?: 'position' | 'head' | 'head-position';
      answer: number | string;
      versus: number | string;
    },
  ): Promise<{
    clean_tokens: number[];
    corrupted_tokens: number[];
    axes: ('layer' | 'position' | 'head')[];
    value: Json;
    clean: number | null;
    corrupted: number | null;
    normalized: Json;
  }>;
}

export declare class Model {
  /** What is inside. */
  readonly inspect: Inspect;
  /**
   * Loads a model: 'built-in', the address of a .gguf file or of a folder in Hugging Face's layout, a
   * File, the Files of a folder, or a kept model. Models from addresses are kept for the next time.
   */
  static load(
    source: 'built-in' | string | URL | File | File[] | FileList | { kept: string },
    onProgress?: (progress: Progress) => void,
    options?: LoadOptions,
  ): Promise<Model>;
  static kept(): Promise<Kept[]>;
  static keep(
    files: File[] | FileList,
    onProgress?: (progress: Progress) => void,
    options?: { signal?: AbortSignal },
  ): Promise<string>;
  static forget(name: string): Promise<void>;
  readonly info: ModelInfo;
  readonly tokenizer: Tokenizer | null;
  /** How many kernel variants have passed on this adapter so far; null for the reference. */
  readonly checked: { passed: number; excluded: string[] } | null;
  generate(
    prompt: string | ArrayLike<number>,
    request?: Request,
  ): Events<Token, Generation> & { promptTokens: number[] | null };
  /** ln p of each token after the first, given those before it; `top` adds the most probable ones at each. */
  score(
    tokens: ArrayLike<number>,
    top?: number,
  ): Promise<{ logprobs: number[]; perplexity: number | null; top: [number, number][][] | null }>;
  distribution(
    tokens: ArrayLike<number>,
    sampling?: Sampling,
    most?: number,
    options?: { signal?: AbortSignal },
  ): Promise<{
    tokens: { id: number; text: string; probability: number; drawn: number }[];
    rest: number;
    restDrawn: number;
    survivors: number;
  }>;
  encode(text: string): Promise<number[]>;
  /**
   * The tokens of a conversation, by the model's own template. `templateArguments` tells the template more,
   * such as `{ enable_thinking: false }`: values of JSON, by their names.
   */
  encodeChat(
    messages: { role: 'system' | 'user' | 'assistant'; content: string }[],
    templateArguments?: { [name: string]: Json },
  ): Promise<number[]>;
  /** Destroys the device; for tests. */
  loseDevice(): Promise<void>;
  free(): Promise<void>;
}

/** The settings of a run; the defaults are those of the program's `--preset char`. */
export interface TrainSettings {
  family?: 'gpt2' | 'gpt2-attn-only' | 'llama';
  layers?: number;
  heads?: number;
  kvHeads?: number;
  width?: number;
  hidden?: number;
  untied?: boolean;
  context?: number;
  batch?: number;
  steps?: number;
  /** The peak learning rate. */
  lr?: number;
  /** The learning rate at the end of the decay; a tenth of `lr`. */
  minLr?: number;
  warmup?: number;
  decay?: 'constant' | 'linear' | 'cosine' | 'wsd';
  beta1?: number;
  beta2?: number;
  weightDecay?: number;
  clip?: number;
  dropout?: number;
  mixed?: boolean;
  seed?: number;
  /** The fraction of the text, taken from its end, that is held out for validation; 0.1. */
  valFraction?: number;
}

export interface Step {
  step: number;
  loss: number;
  gradientNorm: number;
  rate: number;
  /** The validation loss, at steps that evaluate it. */
  validLoss?: number;
}

export declare class Trainer {
  /** Creates a new model; `tokenizer` is the text of a tokenizer.json. */
  static create(text: string, tokenizer: string, settings?: TrainSettings): Promise<Trainer>;
  readonly info: {
    parameters: number;
    vocab: number;
    trainTokens: number;
    validTokens: number;
    tokensPerStep: number;
    steps: number;
    memory: { parameters: number; cache: number; activations: number; largest_buffer: number };
  };
  run(
    steps: number,
    options?: {
      signal?: AbortSignal;
      evaluateEvery?: number;
      evaluateBatches?: number;
      /** Called with the step that the run continues from after its device was lost: that of the last `model()`. */
      onRevived?: (step: number) => void;
    },
  ): Events<Step, Step | null>;
  /** Destroys the device; for tests. */
  loseDevice(): Promise<void>;
  evaluate(batches?: number): Promise<number | undefined>;
  /** A ZIP archive of a folder in Hugging Face's layout. */
  save(options?: { half?: boolean }): Promise<Blob>;
  model(name?: string): Promise<Model>;
  free(): Promise<void>;
}
