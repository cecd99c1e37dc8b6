//! Chat templates: Jinja as `transformers` runs it, within bounds.
//!
//! A template is a stranger's program. The crate `minijinja` runs it, with fuel for its steps and its
//! output, but it would also make values that hold themselves, recurse over deep ones, and compare or
//! write long ones at no cost. So the template is first read by a small parser of ours
//! (`lexer.rs`, `expression.rs`, `operand.rs`, `statement.rs`), which bounds its size and its depth
//! and writes it anew: what makes, stores, compares or takes apart values is a call of ours
//! (`operators.rs`, `compare.rs`, `methods.rs`, `keep.rs`), which follows Python and pays before it
//! works. What is left to the engine are variables, loops, macros, and filters (`filters.rs`).

mod args;
mod compare;
mod cuts;
mod environment;
mod escaping;
mod expression;
mod filters;
mod format;
mod idle;
mod json;
mod keep;
mod lazy;
mod lexer;
mod methods;
mod namespace;
mod numbers;
mod objects;
mod operand;
mod operators;
mod plain;
mod reading;
mod sorting;
mod statement;
mod strings;
mod text;
mod words;

#[cfg(test)]
mod long_test;
#[cfg(test)]
mod tests;

pub(super) use environment::{Conversation, render};
