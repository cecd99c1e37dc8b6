//! The hashes by which the Hub names files: SHA-256 for large ones, git's for small ones.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use sha1::Sha1;
use sha2::{Digest, Sha256};

/// Bytes read at once.
const PIECE: usize = 1 << 20;

/// What a name says about a file's contents.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Sha256,
    /// Git's hash of a blob. Other servers name a file by the plain SHA-1 of its contents, which looks
    /// the same.
    Git,
}

impl Kind {
    /// The kind of hash that a name is; `None` for a name that is none.
    pub(super) fn of(name: &str) -> Option<Self> {
        let hex = name.bytes().all(|byte| byte.is_ascii_hexdigit());
        match name.len() {
            64 if hex => Some(Self::Sha256),
            40 if hex => Some(Self::Git),
            _ => None,
        }
    }
}

/// How a file's contents differ from what its name says; `None` if they do not, or if its name says
/// nothing about them.
pub(super) fn difference(path: &Path, name: &str) -> io::Result<Option<String>> {
    let Some(kind) = Kind::of(name) else { return Ok(None) };
    let name = name.to_ascii_lowercase();
    let (what, found) = match kind {
        Kind::Sha256 => ("SHA-256", hash(path, Sha256::new())?),
        Kind::Git => {
            let length = path.metadata()?.len();
            let blob = Sha1::new_with_prefix(format!("blob {length}\0"));
            let found = hash(path, blob)?;
            if found != name && hash(path, Sha1::new())? == name {
                return Ok(None);
            }
            ("git hash", found)
        }
    };
    Ok((found != name).then(|| format!("its {what} is {found}, not {name}")))
}

/// The hash of a file's contents, after what was hashed already.
fn hash<D: Digest>(path: &Path, mut hash: D) -> io::Result<String> {
    let (mut file, mut piece) = (File::open(path)?, vec![0; PIECE]);
    loop {
        match file.read(&mut piece)? {
            0 => return Ok(hex(&hash.finalize())),
            read => hash.update(&piece[..read]),
        }
    }
}

/// Bytes in hexadecimal.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The hashes are those of `git hash-object`, `sha1sum` and `sha256sum`.
    #[test]
    fn a_file_is_compared_with_the_hash_that_names_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        std::fs::write(&path, "hello\n").unwrap();
        let sha256 = "5891b5b522d5df086d0ff0b110fbd9d21bb4fc7163af34d08286a2e846f6be03";
        let names = [
            "ce013625030ba8dba906f756967f9e9ca394464a",
            "f572d396fae9206628714fb2ce00f72e94f2258f",
            sha256,
            &sha256.to_ascii_uppercase(),
            "no hash",
        ];
        for name in names {
            assert_eq!(difference(&path, name).unwrap(), None, "{name}");
        }
        std::fs::write(&path, "hallo\n").unwrap();
        for name in &names[..4] {
            let told = difference(&path, name).unwrap().unwrap();
            assert!(told.ends_with(&format!(", not {}", name.to_ascii_lowercase())), "{told}");
        }
        assert_eq!(difference(&path, "no hash").unwrap(), None);
        assert!(difference(&folder.path().join("missing"), sha256).is_err());
    }
}
