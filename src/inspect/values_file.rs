//! Named values in a safetensors file, written as they come.

use std::fs::File;
use std::io::{BufWriter, Seek, SeekFrom, Write};
use std::path::Path;

use crate::atomic_file::AtomicFile;
use crate::checkpoint::{NewTensor, safetensors_start, write_safetensors_to};
use crate::config::Config;
use crate::error::{Error, Result};
use crate::format::Format;
use crate::generate::{Llm, TextPart};
use crate::hook::Hook;
use crate::model::{Activation, Edit, actions, heads_first, shape};

/// Runs a text and writes the values of hooks, by their classic names, as f32; with `logits` also
/// those after every token. The file appears whole or not at all.
///
/// # Errors
/// As [`Llm::observe_each`], and [`Error::Io`] for the file.
pub async fn write_values(
    llm: &mut Llm,
    tokens: &[u32],
    edits: &[(Hook, Edit)],
    hooks: &[Hook],
    logits: bool,
    path: &Path,
) -> Result<()> {
    let config = llm.config().clone();
    let tensors = tensors(&config, hooks, tokens.len(), logits);
    let actions = actions(edits, hooks.iter().copied());
    let logits_of: Vec<usize> = if logits { (0..tokens.len()).collect() } else { Vec::new() };
    let io = |error| Error::io(path, error);
    let (atomic, file) = AtomicFile::create(path).map_err(io)?;
    if !file.metadata().map_err(io)?.is_file() {
        // A pipe cannot be written out of order.
        let seen = llm.observe(tokens, &actions, &logits_of).await?;
        let mut all: Vec<Vec<f32>> = seen.activations.into_iter().map(|a| a.values).collect();
        all.push(seen.logits);
        let mut out = BufWriter::new(&file);
        write_safetensors_to(&mut out, path, &tensors, &[], &mut |at| Ok(all[at].clone()))?;
        out.flush().map_err(io)?;
        drop(out);
        return atomic.finish(&file).map_err(io);
    }
    let mut writer = Writer::new(&file, path, &tensors)?;
    let places: Vec<Hook> = sorted(hooks);
    llm.observe_each(tokens, &actions, &logits_of, |part| {
        writer.add(&places, tokens.len(), &part).map_err(io)
    })
    .await?;
    writer.out.flush().map_err(io)?;
    drop(writer);
    atomic.finish(&file).map_err(io)
}

/// Hooks in the order in which their values come.
fn sorted(hooks: &[Hook]) -> Vec<Hook> {
    let mut hooks = hooks.to_vec();
    hooks.sort_by_key(|hook| hook.place());
    hooks
}

fn tensors(config: &Config, hooks: &[Hook], tokens: usize, logits: bool) -> Vec<NewTensor> {
    let tensor = |name, shape| NewTensor { name, format: Format::F32, shape };
    let values = sorted(hooks).into_iter();
    let values = values.map(|hook| tensor(hook.to_string(), shape(config, hook, tokens, tokens)));
    values.chain(logits.then(|| tensor("logits".to_owned(), vec![tokens, config.vocab]))).collect()
}

/// Writes parts of tensors at their places.
struct Writer<'a> {
    out: BufWriter<&'a File>,
    /// Where each tensor begins.
    starts: Vec<u64>,
}

impl<'a> Writer<'a> {
    fn new(file: &'a File, path: &Path, tensors: &[NewTensor]) -> Result<Self> {
        let io = |error| Error::io(path, error);
        let header = safetensors_start(path, tensors, &[])?;
        let mut end = header.len() as u64;
        let mut starts = Vec::with_capacity(tensors.len());
        for tensor in tensors {
            starts.push(end);
            end += 4 * tensor.shape.iter().map(|size| *size as u64).product::<u64>();
        }
        // What is never written, such as patterns on later keys, stays zero.
        file.set_len(end).map_err(io)?;
        let mut out = BufWriter::new(file);
        out.write_all(&header).map_err(io)?;
        Ok(Self { out, starts })
    }

    fn add(&mut self, hooks: &[Hook], tokens: usize, part: &TextPart) -> std::io::Result<()> {
        for (at, hook) in hooks.iter().enumerate() {
            let Some(own) = part.activations.iter().find(|a| a.hook == *hook) else { continue };
            let start = self.starts[at];
            if heads_first(*hook) {
                self.add_by_head(own, tokens, start, part)?;
            } else {
                let width = own.values.len() / part.count;
                self.at(start + 4 * (part.first * width) as u64)?;
                self.out.write_all(bytemuck::cast_slice(&own.values))?;
            }
        }
        if !part.logits.is_empty() {
            let width = part.logits.len() / part.count;
            self.at(self.starts[hooks.len()] + 4 * (part.first * width) as u64)?;
            self.out.write_all(bytemuck::cast_slice(&part.logits))?;
        }
        Ok(())
    }

    fn add_by_head(
        &mut self,
        own: &Activation,
        tokens: usize,
        start: u64,
        part: &TextPart,
    ) -> std::io::Result<()> {
        let hidden = if let Hook::AttnScores(_) = own.hook { f32::NEG_INFINITY } else { 0.0 };
        let keys = own.shape[2];
        for (head, rows) in own.values.chunks(part.count * keys).enumerate() {
            self.at(start + 4 * ((head * tokens + part.first) * tokens) as u64)?;
            for row in rows.chunks(keys) {
                self.out.write_all(bytemuck::cast_slice(row))?;
                self.out.write_all(bytemuck::cast_slice(&vec![hidden; tokens - keys]))?;
            }
        }
        Ok(())
    }

    fn at(&mut self, offset: u64) -> std::io::Result<()> {
        self.out.seek(SeekFrom::Start(offset)).map(drop)
    }
}
