//! What is known about an adapter, kept from run to run in the system's cache folder.
//!
//! The folder is `PELLUCID_CACHE`, or `pellucid` in the system's cache folder. If it cannot be read
//! or written, everything goes on without it. A program on a system without files passes in its own
//! [`KeyValueStorage`].

use std::collections::BTreeSet;
use std::fmt::Debug;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::atomic_file;
use crate::gpu::Adapter;
use crate::select::{DeviceProfile, KERNELS, PARTS, fingerprint};

/// What passed on an adapter before, and what is known of it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Record {
    /// Variants that passed.
    pub passed: BTreeSet<String>,
    /// What is known.
    pub profile: DeviceProfile,
}

/// Where one adapter's record is kept.
#[derive(Clone, Debug, Default)]
pub struct ProfileCache {
    location: Location,
    key: CacheKey,
}

#[derive(Clone, Debug, Default)]
enum Location {
    #[default]
    Nowhere,
    File(PathBuf),
    KeyValueStorage(Arc<dyn KeyValueStorage>, String),
}

/// Texts stored under names, on a system without files.
pub trait KeyValueStorage: Debug + Send + Sync {
    /// The text of that name, if there is one.
    fn load(&self, name: &str) -> Option<String>;

    /// Stores a text, replacing any of that name.
    fn save(&self, name: &str, text: &str);
}

/// Whose record it is: with another driver or other kernels none of it applies.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct CacheKey {
    adapter: String,
    driver: String,
    backend: String,
    shaders: String,
}

#[derive(Serialize, Deserialize)]
struct CacheEntry {
    #[serde(flatten)]
    key: CacheKey,
    #[serde(flatten)]
    record: Record,
}

/// The largest file that is read.
const MOST_BYTES: u64 = 4 << 20;

impl ProfileCache {
    /// A cache that keeps nothing.
    pub fn nowhere() -> Self {
        Self::default()
    }

    /// The cache of an adapter in the cache folder; [`nowhere`](Self::nowhere) if there is none.
    pub fn new(adapter: &Adapter) -> Self {
        folder().map_or_else(Self::nowhere, |folder| Self::within(&folder, adapter))
    }

    /// The cache of an adapter in a key-value storage.
    pub fn in_storage(storage: Arc<dyn KeyValueStorage>, adapter: &Adapter) -> Self {
        let key = CacheKey::of(adapter);
        Self { location: Location::KeyValueStorage(storage, key.name()), key }
    }

    /// The cache of an adapter in a folder, which is created if needed.
    pub fn within(folder: &Path, adapter: &Adapter) -> Self {
        let key = CacheKey::of(adapter);
        let path = folder.join("adapters").join(key.name() + ".json");
        Self { location: Location::File(path), key }
    }

    /// The file, if the cache is one.
    pub fn path(&self) -> Option<&Path> {
        match &self.location {
            Location::File(path) => Some(path),
            Location::Nowhere | Location::KeyValueStorage(..) => None,
        }
    }

    /// The adapter's record; an empty one if there is none, or if it is invalid.
    pub fn load(&self) -> Record {
        let text = match &self.location {
            Location::Nowhere => None,
            Location::KeyValueStorage(storage, name) => storage.load(name),
            Location::File(path) => match read(path) {
                Ok(text) => Some(text),
                Err(error) => {
                    if error.kind() != io::ErrorKind::NotFound {
                        log::warn!("{}: {error}; ignoring it", path.display());
                    }
                    None
                }
            },
        };
        let Some(text) = text else { return Record::default() };
        match serde_json::from_str::<CacheEntry>(&text) {
            Ok(entry) if entry.key == self.key => entry.record,
            Ok(_) => Record::default(),
            Err(error) => {
                log::warn!(
                    "cannot read the saved profile of {}: {error}; ignoring it",
                    self.key.adapter
                );
                Record::default()
            }
        }
    }

    /// Saves a record; if that fails, logs a warning and goes on.
    pub fn save(&self, record: &Record) {
        let entry = CacheEntry { key: self.key.clone(), record: record.clone() };
        // Names and numbers can always be serialized.
        let text = serde_json::to_string_pretty(&entry).unwrap_or_default();
        match &self.location {
            Location::Nowhere => {}
            Location::KeyValueStorage(storage, name) => storage.save(name, &text),
            Location::File(path) => {
                if let Err(error) = atomic_file::write_own(path, text.as_bytes()) {
                    log::warn!("{}: {error}; the adapter will be tried again", path.display());
                }
            }
        }
    }
}

impl CacheKey {
    fn of(adapter: &Adapter) -> Self {
        Self {
            adapter: adapter.name.clone(),
            driver: adapter.driver.clone(),
            backend: adapter.backend.clone(),
            shaders: shaders(),
        }
    }

    /// A short name for it.
    fn name(&self) -> String {
        let Self { adapter, driver, backend, shaders } = self;
        fingerprint([adapter, driver, backend, shaders].map(String::as_str).join("\n").bytes())
    }
}

fn read(path: &Path) -> io::Result<String> {
    let mut text = String::new();
    File::open(path)?.take(MOST_BYTES).read_to_string(&mut text)?;
    Ok(text)
}

/// The cache folder: `PELLUCID_CACHE`, else `pellucid` in the system's cache folder.
pub fn folder() -> Option<PathBuf> {
    let named = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty());
    if let Some(folder) = named("PELLUCID_CACHE") {
        return Some(folder.into());
    }
    let home = || named("HOME").map(PathBuf::from);
    let system = if cfg!(windows) {
        named("LOCALAPPDATA").map(PathBuf::from)
    } else if cfg!(target_vendor = "apple") {
        home().map(|home| home.join("Library/Caches"))
    } else {
        named("XDG_CACHE_HOME").map(PathBuf::from).or_else(|| Some(home()?.join(".cache")))
    };
    system.map(|system| system.join("pellucid"))
}

/// A fingerprint of the texts of all kernels and parts, and of how they are compiled.
fn shaders() -> String {
    let kernels = KERNELS.iter().map(|kernel| (kernel.name, kernel.source));
    let texts = kernels.chain(PARTS.iter().map(|part| (part.name, part.source)));
    let bytes = texts.flat_map(|(name, source)| name.bytes().chain(source.bytes()));
    let checked = u8::from(cfg!(debug_assertions));
    fingerprint(bytes.chain(env!("CARGO_PKG_VERSION").bytes()).chain([checked]))
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;
    use std::fs;
    use std::sync::Mutex;

    use super::*;
    use crate::gpu::Limits;

    fn adapter(driver: &str) -> Adapter {
        let limits = Limits {
            max_storage_buffer_binding_size: 0,
            max_buffer_size: 0,
            max_compute_invocations_per_workgroup: 0,
            max_compute_workgroup_storage_size: 0,
            max_storage_buffers_per_shader_stage: 0,
            subgroup_size: [0, 0],
        };
        let word = str::to_owned;
        let (name, backend, kind) = (word("a card"), word("vulkan"), word("discrete"));
        let (driver, features) = (word(driver), Vec::new());
        Adapter { index: 0, name, backend, kind, driver, features, limits }
    }

    #[test]
    fn what_is_kept_comes_back_for_the_same_driver_only() {
        let folder = tempfile::tempdir().unwrap();
        let mut record = Record::default();
        record.passed.insert("rms_norm WG=8".to_owned());
        record.profile.excluded.insert("reduce_subgroup".to_owned());
        let shape = "q4_1 1x2x3".parse().unwrap();
        record.profile.lanes.insert(shape, crate::select::Lanes::one(8));
        let store = ProfileCache::within(folder.path(), &adapter("1.0"));
        assert_eq!(store.load(), Record::default());
        store.save(&record);
        assert_eq!(store.load(), record);
        assert_eq!(ProfileCache::within(folder.path(), &adapter("1.1")).load(), Record::default());
    }

    #[derive(Debug, Default)]
    struct Memory(Mutex<HashMap<String, String>>);

    impl KeyValueStorage for Memory {
        fn load(&self, name: &str) -> Option<String> {
            self.0.lock().unwrap().get(name).cloned()
        }

        fn save(&self, name: &str, text: &str) {
            self.0.lock().unwrap().insert(name.to_owned(), text.to_owned());
        }
    }

    #[test]
    fn a_store_keeps_as_a_folder_does() {
        let storage = Arc::new(Memory::default());
        let on = |driver| ProfileCache::in_storage(storage.clone(), &adapter(driver));
        let mut record = Record::default();
        record.passed.insert("rms_norm WG=8".to_owned());
        on("1.0").save(&record);
        assert_eq!((on("1.0").load(), on("1.1").load()), (record, Record::default()));
        assert_eq!(storage.0.lock().unwrap().len(), 1);
    }

    #[test]
    fn nonsense_and_places_that_are_none_are_no_error() {
        let folder = tempfile::tempdir().unwrap();
        let store = ProfileCache::within(folder.path(), &adapter("1.0"));
        store.save(&Record::default());
        for nonsense in ["", "{", "[1, 2]", "{\"adapter\": 7}"] {
            fs::write(store.path().unwrap(), nonsense).unwrap();
            assert_eq!(store.load(), Record::default(), "{nonsense}");
        }
        let file = folder.path().join("file");
        fs::write(&file, "").unwrap();
        let within_a_file = ProfileCache::within(&file, &adapter("1.0"));
        within_a_file.save(&Record::default());
        assert_eq!(within_a_file.load(), Record::default());
        ProfileCache::nowhere().save(&Record::default());
        assert_eq!(ProfileCache::nowhere().load(), Record::default());
    }
}
