// What takes longest begins first, before the views are there.

import { Gpu, Model } from './pellucid.js';

export const gpu = Gpu.request();
export const builtIn = Model.load('built-in');

// Failures are reported where these are awaited.
gpu.catch(() => {});
builtIn.catch(() => {});
