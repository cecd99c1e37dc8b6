//! The values of weights in each format: decoded, encoded, and packed into the planes of a GPU.

pub(super) mod blocks;
mod gather;
pub(super) mod planes;
