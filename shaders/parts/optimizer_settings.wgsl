// Slot `optimizer_settings`: the settings of one optimizer step.
struct OptimizerSettings {
    rate: f32,
    beta1: f32,
    beta2: f32,
    eps: f32,
    decay: f32,
    // 1 - beta1^t and 1 - beta2^t at step t.
    correction1: f32,
    correction2: f32,
    // The largest L2 norm of all gradients together; 0 for no limit.
    max_norm: f32,
}

// The result of `clip`.
struct Clipping {
    // The factor for the gradients, and their norm before it is applied.
    factor: f32,
    length: f32,
    // 1 if the norm is finite, else 0.
    finite: f32,
    zero: f32,
}
