//! A model in several safetensors files, and their index, which may be older than they are.

use std::collections::{BTreeSet, HashMap};
use std::path::PathBuf;

use super::object::object;
use super::safetensors;
use crate::checkpoint::fields::Fields;
use crate::checkpoint::notes::Notes;
use crate::checkpoint::source::Entries;
use crate::checkpoint::wrappers::unwrapped;
use crate::error::{Error, Result};
use crate::files::Files;

pub(in crate::checkpoint) const INDEX: &str = "model.safetensors.index.json";

/// Tensors that an index lists but that no file holds, and the file in which it puts them.
pub(in crate::checkpoint) type Absent = HashMap<String, PathBuf>;

/// The tensors of a folder.
#[derive(Default)]
pub(super) struct Tensors {
    pub(super) entries: Entries,
    pub(super) absent: Absent,
}

/// Which file holds which tensor, as the index has it.
type Listed = HashMap<String, String>;

/// Reads the tensors of all shards. The index decides only between two of one name: tensors that it
/// does not list are read too, and one that it lists but that no file holds may not be needed.
pub(super) fn read(files: &Files, notes: &Notes) -> Result<Tensors> {
    let listed = listed(files, notes)?;
    let mut shards: BTreeSet<String> = listed.values().cloned().collect();
    let sets: BTreeSet<_> = shards.iter().filter_map(|file| set(file)).map(owned).collect();
    let others = files.names()?.into_iter();
    shards.extend(others.filter(|file| set(file).is_some_and(|set| sets.contains(&owned(set)))));
    let mut tensors = Tensors::default();
    let mut unlisted = BTreeSet::new();
    for file in shards.iter().filter(|file| files.has(file)) {
        for (name, entry) in safetensors::entries(&files.open(file)?)? {
            let is_its_place = match listed.get(&name) {
                Some(place) => place == file,
                None => {
                    unlisted.insert(name.clone());
                    false
                }
            };
            if is_its_place || !tensors.entries.contains_key(&name) {
                tensors.entries.insert(name, entry);
            }
        }
    }
    if let Some(first) = unlisted.first() {
        let what = format!("does not list {} tensors of its files, which are read", unlisted.len());
        notes.add(&files.path().join(INDEX), format!("{what}, such as {first}"));
    }
    let absent = listed.into_iter().filter(|(name, _)| !tensors.entries.contains_key(name));
    tensors.absent =
        absent.map(|(name, file)| (unwrapped(&name), files.path().join(file))).collect();
    Ok(tensors)
}

/// Tells the user about an index that does not list one file.
pub(super) fn tell_unless_it_lists(files: &Files, file: &str, notes: &Notes, what: &str) {
    let listed = listed(files, notes);
    if !listed.is_ok_and(|listed| listed.values().any(|listed| listed == file)) {
        notes.add(&files.path().join(INDEX), what);
    }
}

fn listed(files: &Files, notes: &Notes) -> Result<Listed> {
    let map = object(files, INDEX)?;
    let index = &files.path().join(INDEX);
    let fields = Fields::new(index, &map, notes);
    let listed = fields.object("weight_map")?;
    let listed = listed.ok_or_else(|| fields.bad("weight_map", "is missing"))?;
    let places = listed.iter().map(|(name, file)| {
        // Files outside the folder are not read.
        let inside =
            |file: &&str| !file.contains(['/', '\\', ':']) && !matches!(*file, "" | "." | "..");
        let file = file.as_str().filter(inside).ok_or_else(|| {
            Error::tensor(index, name, format!("must be in a file of this folder, not {file}"))
        })?;
        Ok((name.clone(), file.to_owned()))
    });
    places.collect()
}

/// The set that a shard belongs to: what precedes its number, and how many there are; `None` for a
/// file that is not named like `model-00001-of-00003.safetensors`.
fn set(file: &str) -> Option<(&str, &str)> {
    let (rest, count) = file.strip_suffix(".safetensors")?.rsplit_once("-of-")?;
    let (stem, number) = rest.rsplit_once('-')?;
    let is_number = |digits: &str| digits.bytes().all(|byte| byte.is_ascii_digit());
    (is_number(number) && is_number(count)).then_some((stem, count))
}

fn owned((stem, count): (&str, &str)) -> (String, String) {
    (stem.to_owned(), count.to_owned())
}
