//! The kernels on the adapter that is there, against their twins.

mod sample;
