//! Writers of tiny models, shared by the tests.

use std::fs;
use std::path::Path;

use half::{bf16, f16};
use serde_json::{Map, Value, json};
use tempfile::TempDir;

use super::Checkpoint;

mod blocks;
mod configs;
mod ends;
mod folders;
mod gguf;
mod gpts;
mod hostile;
mod hostile_safetensors;
mod left_out;
mod llamas;
mod missing;
mod numbers;
mod published;
mod settings;
mod settings_of_families;
mod split;

/// A tensor to write: its name, shape (slowest first), type and bytes.
#[derive(Clone)]
struct Tensor {
    name: String,
    shape: Vec<usize>,
    kind: &'static str,
    bytes: Vec<u8>,
}

/// A float tensor whose i-th value is `start + i`.
fn counting(name: impl Into<String>, shape: &[usize], start: usize) -> Tensor {
    let values = (0..shape.iter().product::<usize>()).map(|i| (start + i) as f32);
    let bytes = values.flat_map(f32::to_le_bytes).collect();
    Tensor { name: name.into(), shape: shape.to_vec(), kind: "F32", bytes }
}

/// The same tensor as `kind`, which is exact for small integers.
fn as_kind(tensor: &Tensor, kind: &'static str) -> Tensor {
    let values = tensor.bytes.as_chunks::<4>().0.iter().map(|b| f32::from_le_bytes(*b));
    let bytes = match kind {
        "F16" => values.flat_map(|x| f16::from_f32(x).to_le_bytes()).collect(),
        "BF16" => values.flat_map(|x| bf16::from_f32(x).to_le_bytes()).collect(),
        _ => tensor.bytes.clone(),
    };
    Tensor { kind, bytes, ..tensor.clone() }
}

/// A safetensors file.
fn safetensors(tensors: &[Tensor]) -> Vec<u8> {
    let mut header = Map::new();
    let mut data = Vec::new();
    for tensor in tensors {
        let start = data.len();
        data.extend(&tensor.bytes);
        let entry = json!({
            "dtype": tensor.kind, "shape": tensor.shape, "data_offsets": [start, data.len()],
        });
        header.insert(tensor.name.clone(), entry);
    }
    with_header(&Value::Object(header).to_string(), &data)
}

/// A safetensors file with this header.
fn with_header(header: &str, data: &[u8]) -> Vec<u8> {
    let length = (header.len() as u64).to_le_bytes();
    [length.as_slice(), header.as_bytes(), data].concat()
}

/// A folder with a configuration and one safetensors file.
fn folder(config: &Value, tensors: &[Tensor]) -> TempDir {
    let folder = TempDir::new().unwrap();
    write(folder.path(), "config.json", config.to_string());
    write(folder.path(), "model.safetensors", safetensors(tensors));
    folder
}

fn write(folder: &Path, name: &str, content: impl AsRef<[u8]>) {
    fs::write(folder.join(name), content).unwrap();
}

/// The message with which opening fails.
fn refusal(path: &Path) -> String {
    match Checkpoint::open(path) {
        Ok(_) => panic!("{} was opened", path.display()),
        Err(error) => error.to_string(),
    }
}

/// A value of GGUF metadata.
#[derive(Clone)]
enum Meta {
    U16(u16),
    U32(u32),
    I32(i32),
    F32(f32),
    Bool(bool),
    Text(&'static str),
    /// The bytes of a string.
    Raw(&'static [u8]),
    Texts(Vec<&'static str>),
    U32s(Vec<u32>),
    F32s(Vec<f32>),
}

impl Meta {
    fn bytes(&self) -> Vec<u8> {
        let array = |kind: u32, count: usize| {
            let mut bytes = 9u32.to_le_bytes().to_vec();
            bytes.extend(kind.to_le_bytes());
            bytes.extend((count as u64).to_le_bytes());
            bytes
        };
        let scalar = |kind: u32, bytes: &[u8]| [kind.to_le_bytes().as_slice(), bytes].concat();
        match self {
            Self::U16(x) => scalar(2, &x.to_le_bytes()),
            Self::U32(x) => scalar(4, &x.to_le_bytes()),
            Self::I32(x) => scalar(5, &x.to_le_bytes()),
            Self::Raw(x) => scalar(8, &[&(x.len() as u64).to_le_bytes(), *x].concat()),
            Self::F32(x) => scalar(6, &x.to_le_bytes()),
            Self::Bool(x) => scalar(7, &[u8::from(*x)]),
            Self::Text(x) => scalar(8, &text(x)),
            Self::Texts(list) => {
                let mut bytes = array(8, list.len());
                bytes.extend(list.iter().flat_map(|x| text(x)));
                bytes
            }
            Self::U32s(list) => {
                let mut bytes = array(4, list.len());
                bytes.extend(list.iter().flat_map(|x| x.to_le_bytes()));
                bytes
            }
            Self::F32s(list) => {
                let mut bytes = array(6, list.len());
                bytes.extend(list.iter().flat_map(|x| x.to_le_bytes()));
                bytes
            }
        }
    }
}

fn text(text: &str) -> Vec<u8> {
    [(text.len() as u64).to_le_bytes().as_slice(), text.as_bytes()].concat()
}

/// A GGUF file under construction.
#[derive(Clone)]
struct Gguf {
    version: u32,
    pairs: Vec<(&'static str, Meta)>,
    tensors: Vec<Tensor>,
}

impl Gguf {
    /// Sets or replaces a metadata value.
    fn with(mut self, key: &'static str, value: Meta) -> Self {
        self = self.without(key);
        self.pairs.push((key, value));
        self
    }

    fn without(mut self, key: &str) -> Self {
        self.pairs.retain(|(known, _)| *known != key);
        self
    }

    fn with_tensor(mut self, tensor: Tensor) -> Self {
        self = self.without_tensor(&tensor.name);
        self.tensors.push(tensor);
        self
    }

    fn without_tensor(mut self, name: &str) -> Self {
        self.tensors.retain(|known| known.name != name);
        self
    }

    fn bytes(&self) -> Vec<u8> {
        let mut bytes = b"GGUF".to_vec();
        bytes.extend(self.version.to_le_bytes());
        bytes.extend((self.tensors.len() as u64).to_le_bytes());
        bytes.extend((self.pairs.len() as u64).to_le_bytes());
        for (key, value) in &self.pairs {
            bytes.extend(text(key));
            bytes.extend(value.bytes());
        }
        let mut offset = 0;
        for tensor in &self.tensors {
            bytes.extend(text(&tensor.name));
            bytes.extend((tensor.shape.len() as u32).to_le_bytes());
            for dimension in tensor.shape.iter().rev() {
                bytes.extend((*dimension as u64).to_le_bytes());
            }
            let number: u32 = match tensor.kind {
                "F32" => 0,
                "F16" => 1,
                "Q4_0" => 2,
                "Q4_1" => 3,
                "Q5_0" => 6,
                "Q5_1" => 7,
                "Q8_0" => 8,
                "Q2_K" => 10,
                "Q3_K" => 11,
                "Q4_K" => 12,
                "Q5_K" => 13,
                "Q6_K" => 14,
                "IQ4_NL" => 20,
                "IQ2_XS" => 17,
                "IQ3_S" => 21,
                "IQ4_XS" => 23,
                "BF16" => 30,
                other => panic!("{other} has no number here"),
            };
            bytes.extend(number.to_le_bytes());
            bytes.extend((offset as u64).to_le_bytes());
            offset = (offset + tensor.bytes.len()).next_multiple_of(32);
        }
        for tensor in &self.tensors {
            bytes.resize(bytes.len().next_multiple_of(32), 0);
            bytes.extend(&tensor.bytes);
        }
        bytes
    }

    fn save(&self) -> (TempDir, std::path::PathBuf) {
        let folder = TempDir::new().unwrap();
        write(folder.path(), "model.gguf", self.bytes());
        let path = folder.path().join("model.gguf");
        (folder, path)
    }
}
