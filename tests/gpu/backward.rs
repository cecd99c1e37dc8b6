//! The derivatives, each over a table of shapes, kinds of values and variants.
