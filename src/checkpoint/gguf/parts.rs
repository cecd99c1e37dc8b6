//! Models in several GGUF files, `model-00001-of-00003.gguf` and so on. The first holds the
//! metadata, and each some of the tensors.

use std::sync::Arc;

use super::file::{self, Gguf};
use crate::checkpoint::source::{Entries, Source};
use crate::error::{Error, Result};
use crate::files::Files;

/// The ending of GGUF files.
const ENDING: &str = ".gguf";

/// The name of a part: what precedes its number, the number, counted from 1, and that of all parts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct PartName<'a> {
    stem: &'a str,
    number: usize,
    count: usize,
}

impl<'a> PartName<'a> {
    /// Reads a name such as `model-00001-of-00003.gguf`.
    fn read(name: &'a str) -> Option<Self> {
        let (rest, count) = name.strip_suffix(ENDING)?.rsplit_once("-of-")?;
        let (stem, number) = rest.rsplit_once('-')?;
        let read = |digits: &str| {
            let five = digits.len() == 5 && digits.bytes().all(|byte| byte.is_ascii_digit());
            digits.parse().ok().filter(|_| five)
        };
        Some(Self { stem, number: read(number)?, count: read(count)? })
    }

    /// The name of the part with another number.
    fn part(self, number: usize) -> String {
        format!("{}-{number:05}-of-{:05}{ENDING}", self.stem, self.count)
    }
}

/// The names of the GGUF files that make up a model, of which one is given: `a-00001-of-00002.gguf`
/// is one of two, any other name a model by itself.
pub fn gguf_files(name: &str) -> Vec<String> {
    match PartName::read(name) {
        Some(part) => (1..=part.count).map(|number| part.part(number)).collect(),
        None => vec![name.to_owned()],
    }
}

/// The one model among some files: the name of its file, or of its first part. `None` if there is
/// none, an error if there are several.
pub(in crate::checkpoint) fn only_model(files: &Files) -> Result<Option<String>> {
    let mut names = files.names()?;
    names.retain(|name| name.ends_with(ENDING));
    names.sort_unstable();
    let Some(first) = names.first() else { return Ok(None) };
    let whole = |name: &str| PartName::read(name).map(|part| (part.stem.to_owned(), part.count));
    let alike = |name: &String| whole(name).is_some() && whole(name) == whole(first);
    if names.len() == 1 || names.iter().all(alike) {
        return Ok(Some(first.clone()));
    }
    let reason = format!("holds several models, so give the file of one: {}", names.join(", "));
    Err(Error::file(files.path(), reason))
}

/// Reads a file's header, and those of the other parts of its model, which are among `files`.
pub(in crate::checkpoint) fn open(source: Arc<Source>, files: &Files) -> Result<(Gguf, Entries)> {
    let (gguf, entries) = file::open(source)?;
    let Some((number, count)) = place(&gguf)? else { return Ok((gguf, entries)) };
    let path = gguf.source.path().to_owned();
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let named = PartName::read(&name).filter(|part| (part.number, part.count) == (number, count));
    let Some(named) = named else {
        return Err(Error::file(
            &path,
            format!(
                "is part {number} of {count} of a model, but its name does not say so: it must end \
                 in -{number:05}-of-{count:05}{ENDING}, with the other parts beside it"
            ),
        ));
    };
    let missing: Vec<String> =
        (1..=count).map(|n| named.part(n)).filter(|part| !files.has(part)).collect();
    if let Some(first) = missing.first() {
        let what = format!("is part {number} of {count} of a model");
        let more = match missing.len() {
            1 => String::new(),
            many => format!(" and {} more of its parts", many - 1),
        };
        let reason = format!("{what}; {first}{more} must lie beside it, and is missing");
        return Err(Error::file(&path, reason));
    }
    let mut first = None;
    let mut all = Entries::new();
    let mut own = Some((gguf, entries));
    for n in 1..=count {
        let (gguf, entries) = match own.take_if(|_| n == number) {
            Some(own) => own,
            None => file::open(files.open(&named.part(n))?)?,
        };
        let path = gguf.source.path();
        if place(&gguf)? != Some((n, count)) {
            let reason = format!("is not part {n} of {count}, as its name and {name} say");
            return Err(Error::file(path, reason));
        }
        for (name, entry) in entries {
            if all.contains_key(&name) {
                return Err(Error::tensor(path, name, "is in another part too"));
            }
            all.insert(name, entry);
        }
        first.get_or_insert(gguf);
    }
    let Some(first) = first else { return Err(Error::file(&path, "split.count is 0")) };
    check_count(&first, all.len())?;
    Ok((first, all))
}

/// Which part of how many a file is, counted from 1; `None` for a whole model.
fn place(gguf: &Gguf) -> Result<Option<(usize, usize)>> {
    let fields = gguf.fields("");
    let Some(count) = fields.size("split.count", 0)?.filter(|count| *count > 1) else {
        return Ok(None);
    };
    let index = fields.size("split.no", 0)?.ok_or_else(|| fields.bad("split.no", "is missing"))?;
    if index >= count {
        return Err(fields.bad("split.no", format!("is {index}, but there are {count} parts")));
    }
    Ok(Some((index + 1, count)))
}

/// Checks the number of all tensors, which the first part gives.
fn check_count(first: &Gguf, tensors: usize) -> Result<()> {
    let fields = first.fields("");
    match fields.size("split.tensors.count", 0)? {
        Some(given) if given != tensors => {
            let reason = format!("is {given}, but the parts hold {tensors}");
            Err(fields.bad("split.tensors.count", reason))
        }
        _ => Ok(()),
    }
}
