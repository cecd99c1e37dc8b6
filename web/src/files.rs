//! Files passed by a script: read by position, so that none has to be in memory as a whole.

use std::io;
use std::path::Path;
use std::sync::Arc;

use js_sys::Uint8Array;
use pellucid::files::{Files, ReadAt};
use send_wrapper::SendWrapper;
use wasm_bindgen::prelude::*;

use crate::archive;
use crate::value::{Result, to_js_error};

#[wasm_bindgen]
extern "C" {
    /// What a script passes for a file: its name, its length, and a way to read it synchronously.
    #[derive(Debug)]
    pub type Given;

    #[wasm_bindgen(method, getter)]
    fn name(this: &Given) -> String;

    #[wasm_bindgen(method, getter)]
    fn length(this: &Given) -> f64;

    /// The bytes from `offset`, at most `length` of them.
    #[wasm_bindgen(method, catch)]
    fn read(this: &Given, offset: f64, length: f64) -> std::result::Result<Uint8Array, JsValue>;
}

/// Values of a worker never leave it, so it is safe to call them `Send`.
#[derive(Debug)]
struct Remote {
    given: SendWrapper<Given>,
    length: u64,
}

impl ReadAt for Remote {
    fn length(&self) -> u64 {
        self.length
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        let failed = |error: JsValue| {
            let error = error.dyn_ref::<js_sys::Error>().map(|error| String::from(error.message()));
            io::Error::other(error.unwrap_or_else(|| "can no longer be read".to_owned()))
        };
        let bytes = self.given.read(offset as f64, buffer.len() as f64).map_err(failed)?;
        if bytes.length() as usize != buffer.len() {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        bytes.copy_to(buffer);
        Ok(())
    }
}

/// The files of one model: a GGUF file, those of a folder, or one archive of them.
pub(crate) fn files(name: &str, given: Vec<Given>) -> Result<Files> {
    let file = |given: Given| {
        let (name, length) = (given.name(), given.length() as u64);
        (name, Arc::new(Remote { given: SendWrapper::new(given), length }) as Arc<dyn ReadAt>)
    };
    let mut all: Vec<(String, Arc<dyn ReadAt>)> = given.into_iter().map(file).collect();
    if let [(archive, content)] = all.as_slice()
        && archive.ends_with(".zip")
    {
        all = archive::open(Path::new(archive), content).map_err(to_js_error)?;
    }
    Ok(Files::given(name, all))
}
