//! How people spell the names of hooks: TransformerLens's classic names, those of its version 4,
//! interp-engine's addresses, short forms, and globs over the classic names.
//!
//! Only the classic names are printed. In a short form the layer follows the name, `pattern.5`, and may
//! count from the end, `resid_post.-1`.

use std::str::FromStr;

use crate::error::Error;

use super::points::{Hook, Point};

impl Hook {
    /// The hooks that a name may mean in a model with this many layers, in the order of the forward
    /// pass: those of a classic name first, then those of other spellings; for a glob, all that
    /// match. Whether the model has them is not checked.
    pub fn spelled(text: &str, layers: usize) -> Vec<Self> {
        if text.contains(['*', '?']) {
            let all = Self::all(layers).into_iter();
            return all.filter(|hook| matches(text, &hook.to_string())).collect();
        }
        let mut found: Vec<Self> = text.parse().into_iter().collect();
        let spelled = |names: &[&str], name: &str| names.contains(&name);
        for point in Point::all() {
            let (version4, short) = (point.version4(), point.short());
            let hook = match block(text) {
                Some((layer, name)) if point.in_layer() && spelled(version4, name) => {
                    Some(point.at(layer))
                }
                None if !point.in_layer() && (spelled(version4, text) || spelled(short, text)) => {
                    Some(point.at(0))
                }
                None if point.in_layer() => text
                    .rsplit_once('.')
                    .filter(|(name, _)| spelled(short, name))
                    .and_then(|(_, layer)| counted(layer, layers))
                    .map(|layer| point.at(layer)),
                _ => None,
            };
            found.extend(hook.filter(|hook| !found.contains(hook)));
        }
        found
    }

    /// The other spellings of its name.
    pub fn aliases(self) -> Vec<String> {
        let (version4, short) = (self.point().version4(), self.point().short());
        match self.layer() {
            None => version4.iter().chain(short).map(|name| (*name).to_owned()).collect(),
            Some(layer) => {
                let version4 = version4.iter().map(|name| format!("blocks.{layer}.{name}"));
                version4.chain(short.iter().map(|name| format!("{name}.{layer}"))).collect()
            }
        }
    }

    /// The three classic names, of those that a model has, with the fewest edits from a text or from
    /// an alias.
    pub fn nearest(text: &str, hooks: &[Self]) -> Vec<String> {
        let far = |hook: &Self| {
            let aliases = hook.aliases().into_iter().chain([hook.to_string()]);
            aliases.map(|name| distance(&name, text)).min().unwrap_or(usize::MAX)
        };
        let mut hooks: Vec<Self> = hooks.to_vec();
        hooks.sort_by_cached_key(far);
        hooks.truncate(3);
        hooks.iter().map(Self::to_string).collect()
    }
}

impl FromStr for Hook {
    type Err = Error;

    /// Reads a classic name.
    fn from_str(text: &str) -> Result<Self, Error> {
        let (layer, name) = match block(text) {
            Some((layer, name)) => (Some(layer), name),
            None => (None, text),
        };
        let known = |point: &Point| point.name() == name && point.in_layer() == layer.is_some();
        let found = Point::all().find(known).map(|point| point.at(layer.unwrap_or(0)));
        found.ok_or_else(|| {
            let layer = layer.unwrap_or(0);
            let hooks: Vec<Self> = Point::all().map(|point| point.at(layer)).collect();
            let nearest = Self::nearest(text, &hooks).join(", ");
            Error::Input(format!("no hook is named {text}; the nearest are {nearest}"))
        })
    }
}

/// The layer and the name of `blocks.5.name`.
fn block(text: &str) -> Option<(usize, &str)> {
    let (layer, name) = text.strip_prefix("blocks.")?.split_once('.')?;
    Some((layer.parse().ok()?, name))
}

/// A layer, which may be counted from the end as -1, -2 and so on.
fn counted(text: &str, layers: usize) -> Option<usize> {
    match text.strip_prefix('-') {
        Some(back) => layers.checked_sub(back.parse().ok().filter(|back| *back > 0)?),
        None => text.parse().ok(),
    }
}

/// Whether a name is of this form, in which `*` stands for any characters and `?` for one.
fn matches(glob: &str, name: &str) -> bool {
    let (glob, name) = (glob.as_bytes(), name.as_bytes());
    let (mut g, mut n, mut star) = (0, 0, None);
    while n < name.len() {
        match glob.get(g) {
            Some(b'*') => {
                star = Some((g, n));
                g += 1;
            }
            Some(byte) if *byte == b'?' || *byte == name[n] => (g, n) = (g + 1, n + 1),
            // The latest `*` takes one character more.
            _ => match &mut star {
                Some((at, from)) => {
                    *from += 1;
                    (g, n) = (*at + 1, *from);
                }
                None => return false,
            },
        }
    }
    glob[g..].iter().all(|byte| *byte == b'*')
}

/// The Levenshtein distance, for suggestions.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().take(80).collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, y) in b.iter().enumerate() {
            let substituted = diagonal + usize::from(x != *y);
            diagonal = row[j + 1];
            row[j + 1] = substituted.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn classic_names_and_all_aliases_read_back() {
        for hook in Hook::all(3) {
            assert_eq!(hook.to_string().parse::<Hook>().unwrap(), hook, "{hook}");
            for name in hook.aliases().into_iter().chain([hook.to_string()]) {
                assert!(Hook::spelled(&name, 3).contains(&hook), "{name} for {hook}");
            }
        }
        for wrong in ["attn.hook_q", "blocks.0.hook_embed", "blocks.x.attn.hook_q"] {
            assert!(wrong.parse::<Hook>().is_err(), "{wrong}");
            assert_eq!(Hook::spelled(wrong, 3), [], "{wrong}");
        }
    }

    #[test]
    fn layers_count_from_either_end() {
        assert_eq!(Hook::spelled("resid_post.-1", 3), [Hook::ResidPost(2)]);
        assert_eq!(Hook::spelled("resid_post.-3", 3), [Hook::ResidPost(0)]);
        assert_eq!(Hook::spelled("pattern.1", 3), [Hook::Pattern(1)]);
        assert_eq!(Hook::spelled("blocks.1.hook_out", 3), [Hook::ResidPost(1)]);
        assert_eq!(Hook::spelled("embed", 3), [Hook::Embed]);
        for wrong in ["resid_post.-4", "resid_post.-0", "resid_post", "resid_post.x", ""] {
            assert_eq!(Hook::spelled(wrong, 3), [], "{wrong}");
        }
    }

    #[test]
    fn globs_match_classic_names() {
        let all: Vec<Hook> = (0..3).map(Hook::ResidPost).collect();
        assert_eq!(Hook::spelled("blocks.*.hook_resid_post", 3), all);
        assert_eq!(Hook::spelled("blocks.?.attn.hook_z", 2), [Hook::Z(0), Hook::Z(1)]);
        assert_eq!(Hook::spelled("*", 2), Hook::all(2));
        assert_eq!(Hook::spelled("*.hook_zz*", 2), []);
        for (glob, name, expected) in [
            ("a*b*c", "aXbYbZc", true),
            ("a*b*c", "aXbYbZ", false),
            ("**", "", true),
            ("a?c", "ac", false),
            ("*a", "aab", false),
        ] {
            assert_eq!(matches(glob, name), expected, "{glob} {name}");
        }
    }

    #[test]
    fn an_unknown_hook_lists_the_nearest_names() {
        let error = "blocks.2.attn.hook_patern".parse::<Hook>().unwrap_err().to_string();
        assert!(error.contains("blocks.2.attn.hook_pattern"), "{error}");
        let near = Hook::nearest("resid_pst.1", &Hook::all(2));
        assert_eq!(near[0], "blocks.1.hook_resid_post");
    }
}
