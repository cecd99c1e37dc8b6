//! The names of tokens, looked for in a text all at once.

use std::collections::{HashMap, HashSet};

/// Names as a tree of their bytes, so that thousands of them cost a look-up or two for each place
/// of a text.
#[derive(Debug)]
pub(super) struct Names {
    /// The node that a byte leads to; the root is 0.
    next: HashMap<(u32, u8), u32>,
    /// Whether a name ends at a node.
    ends: Vec<bool>,
}

impl Names {
    pub(super) fn new(names: &[String]) -> Self {
        let mut all = Self { next: HashMap::new(), ends: vec![false] };
        for name in names {
            let mut node = 0;
            for byte in name.bytes() {
                let new = all.ends.len() as u32;
                node = *all.next.entry((node, byte)).or_insert(new);
                if node == new {
                    all.ends.push(false);
                }
            }
            all.ends[node as usize] = true;
        }
        all
    }

    /// The names that a text has anywhere.
    pub(super) fn within<'a>(&self, text: &'a str) -> HashSet<&'a str> {
        let from = |at: usize| self.starts(&text[at..]).map(move |length| &text[at..at + length]);
        text.char_indices().flat_map(|(at, _)| from(at)).collect()
    }

    /// The lengths of the names that a text starts with, the shortest first.
    pub(super) fn starts(&self, text: &str) -> impl Iterator<Item = usize> {
        let mut node = 0;
        let path = text.bytes().map_while(move |byte| {
            node = *self.next.get(&(node, byte))?;
            Some(node)
        });
        path.zip(1..).filter(|(node, _)| self.ends[*node as usize]).map(|(_, length)| length)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_found_where_it_starts() {
        let names = ["<a>", "<ab", "é", "<a>b"].map(str::to_owned);
        let tree = Names::new(&names);
        for text in ["<a>", "<a", "<abc", "x<a>", "éa", "", "<", "\u{e8}", "<a>b"] {
            let found = names.iter().filter(|name| text.starts_with(name.as_str()));
            let mut expected: Vec<usize> = found.map(String::len).collect();
            expected.sort_unstable();
            assert_eq!(tree.starts(text).collect::<Vec<_>>(), expected, "{text}");
        }
        assert_eq!(Names::new(&[]).starts("a").count(), 0);
        assert_eq!(tree.within("x<a>b é <ab<"), HashSet::from(["<a>", "<a>b", "é", "<ab"]));
    }

    /// Trying one name after another would compare 640 million of them.
    #[test]
    fn thousands_of_names_cost_little() {
        let names: Vec<String> = (0..6400).map(|i| format!("<|token {i}|>")).collect();
        let text = "a message, <|token 17|> and <|token x ".repeat(3000);
        let start = std::time::Instant::now();
        let tree = Names::new(&names);
        let found =
            text.char_indices().filter(|(at, _)| tree.starts(&text[*at..]).count() > 0).count();
        assert_eq!(found, 3000);
        assert!(start.elapsed().as_millis() < 500, "{:?}", start.elapsed());
    }
}
