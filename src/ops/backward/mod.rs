//! The derivatives, one op for each of the forward pass, and what a step of training does with them.
//!
//! Given dy, the derivative of the loss by an op's output, each gives it by the op's inputs.
//! **Gradients of parameters add up** over the rows and the micro-batches of a step; those of
//! activations are written, unless an op says that it adds.
