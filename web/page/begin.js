// What takes longest begins first, before the views are there.

import { Gpu, Model } from './pellucid.js';

export const gpu = Gpu.request();
export const builtIn = Model.load('built-in');

// Failures are told by whoever waits for these.
gpu.catch(() => {});
builtIn.catch(() => {});
