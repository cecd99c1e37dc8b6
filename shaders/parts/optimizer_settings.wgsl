// Slot `optimizer_settings`: what a step of an optimizer is given.
struct OptimizerSettings {
    rate: f32,
    beta1: f32,
    beta2: f32,
    eps: f32,
    decay: f32,
    // 1 - beta1^t and 1 - beta2^t in step t.
    correction1: f32,
    correction2: f32,
    // The largest length of all gradients taken together; 0 for any.
    max_norm: f32,
}

// What `clip` finds.
struct Clipping {
    // What gradients are multiplied by, and their length before.
    factor: f32,
    length: f32,
    // 1 where the length is finite, else 0.
    finite: f32,
    zero: f32,
}
