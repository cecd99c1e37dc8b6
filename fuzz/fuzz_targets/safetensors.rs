#![no_main]

#[path = "../bounds.rs"]
mod bounds;
#[path = "../readers.rs"]
mod readers;

#[global_allocator]
static COUNTING: bounds::Counting = bounds::Counting;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| bounds::bounded(readers::safetensors, bytes, bounds::TIME));
