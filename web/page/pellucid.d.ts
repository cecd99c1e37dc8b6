/** Why something failed. */
export type Kind =
  | 'adapter' | 'broken' | 'context' | 'device' | 'diverged' | 'file' | 'input' | 'lost' | 'memory'
  | 'stopped' | 'unsupported';

export declare class PellucidError extends Error {
  readonly kind: Kind;
}

/** What the browser tells of its adapter. */
export interface Adapter {
  name: string;
  vendor: string;
  architecture: string;
  features: string[];
  limits: { maxStorageBufferBindingSize: number; maxBufferSize: number };
}

/** How one variant of a kernel came out. */
export interface Verdict {
  kernel: string;
  variant: string;
  /** The largest relative error; null where a value was no number. */
  max_rel_err: number | null;
  ok: boolean;
}

export declare class Gpu {
  /** Starts the worker and looks for an adapter. */
  static request(): Promise<Gpu>;
  /** Null without WebGPU: models then run by the reference, on the CPU. */
  readonly adapter: Adapter | null;
  /** Holds every kernel against plain Rust. */
  doctor(
    onProgress?: (done: number, total: number) => void,
  ): Promise<{ kernels: Verdict[]; ok: boolean }>;
  /** Bytes of WebAssembly's memory. */
  memory(): Promise<number>;
  /** Ends the worker and all that it holds. */
  close(): void;
}

export interface Encoding {
  /** Whether a beginning-of-text token may come first; true. */
  bos?: boolean;
  /** Whether names of special tokens in the text mean these; false. */
  special?: boolean;
}

export interface Piece {
  /** The part of the text. */
  text: string;
  /** What the merges begin with, as the vocabulary spells it. */
  symbols: string[];
  /** The merges in order; null where the tokenizer finds its tokens otherwise. */
  merges: { rank: number; at: number; symbol: string }[] | null;
  ids: number[];
}

export declare class Tokenizer {
  /** Reads the text of a tokenizer.json. */
  static load(json: string): Promise<Tokenizer>;
  /** Learns one from a text (its characters, without `vocabSize`); gives the text of its tokenizer.json. */
  static learn(
    text: string,
    options?: { vocabSize?: number; minFrequency?: number; special?: string[] },
  ): Promise<string>;
  readonly vocabSize: number;
  encode(text: string, options?: Encoding): Promise<number[]>;
  decode(ids: ArrayLike<number>): Promise<string>;
  explain(text: string, options?: Encoding): Promise<Piece[]>;
  /** The text of each token by itself. */
  texts(ids: ArrayLike<number>): Promise<string[]>;
  free(): Promise<void>;
}

/** How the next token is drawn; the defaults take the most probable one. */
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

export interface Request {
  /** 128. */
  maxNewTokens?: number;
  stop?: string[];
  ignoreEos?: boolean;
  /** How many most probable tokens to tell at each place. */
  logprobs?: number;
  /** Do not read again what the prompt's beginning shares with the text before. */
  reusePrefix?: boolean;
  sampling?: Sampling;
  /** Hears how many tokens of a long prompt, of how many, have been read. */
  onPrompt?: (read: number, of: number) => void;
  signal?: AbortSignal;
}

export interface Token {
  id: number;
  /** What may be shown now: whole characters. */
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

/** Events to iterate over; leaving the loop stops what gives them. */
export interface Events<Event, Result> extends AsyncIterable<Event> {
  /** What there is at the end, however it ends. */
  readonly result: Promise<Result>;
  stop(): void;
}

export interface Progress {
  phase: 'fetch' | 'load' | 'keep';
  /** Bytes. */
  done: number;
  /** Bytes in all; 0 where that is not known. */
  total: number;
}

export interface Kept {
  name: string;
  bytes: number;
  address: string | null;
  /** Whether all of it is there; if not, loading its address goes on. */
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
  /** Positions in use. */
  context: number;
  /** Positions that the model has. */
  ownContext: number;
  /** Null by the reference. */
  adapter: Adapter | null;
  /** Bytes on the device; null by the reference. */
  memory: { weights: number; cache: number; activations: number } | null;
  /** The name of all choices of variants; null by the reference. */
  plan: string | null;
  chat: boolean;
  eos: number[];
}

export interface LoadOptions {
  context?: number;
  backend?: 'auto' | 'gpu' | 'cpu';
  cacheType?: 'f32' | 'f16';
  quantize?: 'q8_0' | 'q4_0';
  /** The most bytes to bind at once, for tests. */
  maxBinding?: number;
  signal?: AbortSignal;
}

export declare class Model {
  /**
   * Loads a model: 'built-in', the address of a .gguf file or of a folder in Hugging Face's layout, a
   * File, the Files of a folder, or what is kept. Addresses are kept for the next time.
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
  /** How many variants of kernels were found right on this adapter so far; null by the reference. */
  readonly checked: { passed: number; excluded: string[] } | null;
  generate(
    prompt: string | ArrayLike<number>,
    request?: Request,
  ): Events<Token, Generation> & { promptTokens: number[] | null };
  /** ln p of each token after the first, given those before it; `top` tells the likeliest after each. */
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
  encodeChat(messages: { role: 'system' | 'user' | 'assistant'; content: string }[]): Promise<number[]>;
  /** For tests of what then happens. */
  loseDevice(): Promise<void>;
  free(): Promise<void>;
}

/** What a run is like; the defaults are those of the program's `--preset char`. */
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
  rate?: number;
  floor?: number;
  warmup?: number;
  decay?: 'constant' | 'linear' | 'cosine' | 'wsd';
  beta1?: number;
  beta2?: number;
  weightDecay?: number;
  clip?: number;
  dropout?: number;
  mixed?: boolean;
  seed?: number;
  validShare?: number;
}

export interface Step {
  step: number;
  loss: number;
  gradientNorm: number;
  rate: number;
  /** The loss over the text kept to judge by, at steps that judge. */
  validLoss?: number;
}

export declare class Trainer {
  /** Makes a new model; `tokenizer` is the text of a tokenizer.json. */
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
      /** Hears from which step the run goes on after its device was lost: that of the last `model()`. */
      onRevived?: (step: number) => void;
    },
  ): Events<Step, Step | null>;
  /** For tests of what then happens. */
  loseDevice(): Promise<void>;
  evaluate(batches?: number): Promise<number | undefined>;
  /** A ZIP archive of a folder in Hugging Face's layout. */
  save(options?: { half?: boolean }): Promise<Blob>;
  model(name?: string): Promise<Model>;
  free(): Promise<void>;
}
