//! The derivatives on the device against those of the twins.
