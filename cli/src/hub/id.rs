//! What names a model on the Hub.

use std::path::Path;

use pellucid::error::shortened;

/// `owner/name`, with a GGUF file or a revision after a colon.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Id {
    /// `owner/name`.
    pub(crate) repository: String,
    /// A branch, tag or commit.
    pub(crate) revision: String,
    /// A GGUF file of the repository.
    pub(crate) file: Option<String>,
}

impl Id {
    /// Reads `owner/name`, `owner/name:file.gguf` or `owner/name:revision`; `None` for anything else.
    pub(crate) fn parse(model: &Path) -> Option<Self> {
        let text = model.to_str()?;
        let (repository, rest) = match text.split_once(':') {
            Some((repository, rest)) => (repository, Some(rest)),
            None => (text, None),
        };
        let (owner, name) = repository.split_once('/')?;
        if !word(owner) || !word(name) || name.ends_with(".gguf") {
            return None;
        }
        if rest.is_some_and(|rest| !is_safe(rest)) {
            return None;
        }
        let file = rest.filter(|rest| is_gguf(rest)).map(str::to_owned);
        let revision = rest.filter(|rest| !is_gguf(rest)).unwrap_or("main").to_owned();
        Some(Self { repository: repository.to_owned(), revision, file })
    }
}

/// Whether a file is one of GGUF, by its name.
pub(crate) fn is_gguf(name: &str) -> bool {
    name.to_ascii_lowercase().ends_with(".gguf")
}

/// The most characters of a name that are shown if it cannot be used.
const MOST_SHOWN: usize = 200;

/// The longest name of a file or a folder in bytes, on every system.
const LONGEST: usize = 255;

/// Whether a name stays within the folder that it is put in, can be there, and can be shown.
pub(crate) fn is_safe(name: &str) -> bool {
    !name.contains(|c: char| matches!(c, '\\' | ':') || c.is_control())
        && name.split('/').all(|part| !matches!(part, "" | "." | "..") && part.len() <= LONGEST)
}

/// A name that cannot be used, as a message has room for it.
pub(crate) fn shown(name: &str) -> String {
    shortened(&format!("{name:?}"), MOST_SHOWN).into_owned()
}

fn word(text: &str) -> bool {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    !text.is_empty() && !text.starts_with('.') && text.chars().all(plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_told_from_paths() {
        let id = |text: &str| Id::parse(Path::new(text));
        let plain = id("owner/name-1.5_b").unwrap();
        assert_eq!(
            (plain.repository.as_str(), plain.revision.as_str()),
            ("owner/name-1.5_b", "main")
        );
        let file = id("o/n:sub/m.Q8_0.GGUF").unwrap();
        assert_eq!(
            (file.revision.as_str(), file.file.as_deref()),
            ("main", Some("sub/m.Q8_0.GGUF"))
        );
        let revision = id("o/n:refs/pr/1").unwrap();
        assert_eq!((revision.revision.as_str(), revision.file), ("refs/pr/1", None));
        for path in [
            "gpt2", "a/b/c", "../model", "./a", "/a/b", "a/m.gguf", "a b/c", "o/n:../x", "o/n:",
            "C:/a",
        ] {
            assert_eq!(id(path), None, "{path}");
        }
        for (length, safe) in [(255, true), (256, false)] {
            assert_eq!(is_safe(&format!("a/{}", "x".repeat(length))), safe);
        }
    }
}
