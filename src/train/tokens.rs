//! Tokens in order, and what is known about them: which are only read, and where conversations begin.

use std::ops::Range;

use crate::checkpoint::Hash;

/// The target of a row that teaches nothing: no token has this id.
pub const IGNORED: u32 = u32::MAX;

/// Tokens to learn from, in order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tokens {
    /// Their ids.
    pub ids: Vec<u32>,
    /// Which of them are only read and never predicted: in order, without overlap. In a conversation
    /// all but the answers are.
    pub given: Vec<Range<usize>>,
    /// Where documents begin that are read one at a time, each from its start, as conversations are; in
    /// order, the first at 0. Empty for a text that may be read from anywhere.
    pub documents: Vec<usize>,
}

impl From<Vec<u32>> for Tokens {
    fn from(ids: Vec<u32>) -> Self {
        Self { ids, ..Self::default() }
    }
}

impl FromIterator<u32> for Tokens {
    fn from_iter<I: IntoIterator<Item = u32>>(ids: I) -> Self {
        Vec::from_iter(ids).into()
    }
}

impl Tokens {
    /// How many there are.
    pub fn len(&self) -> usize {
        self.ids.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.ids.is_empty()
    }

    /// Adds those of another text or of more conversations. If only one of them is to be read a
    /// document at a time, the other becomes one document.
    pub fn append(&mut self, other: Self) {
        if other.is_empty() {
            return;
        }
        let start = self.len();
        if !self.is_empty() && self.documents.is_empty() && !other.documents.is_empty() {
            self.documents.push(0);
        }
        if other.documents.is_empty() && !self.documents.is_empty() {
            self.documents.push(start);
        }
        self.documents.extend(other.documents.iter().map(|at| at + start));
        self.given.extend(other.given.iter().map(|range| range.start + start..range.end + start));
        self.ids.extend(other.ids);
    }

    /// Cuts off the tokens from `at` on. Documents stay whole: the cut is where the next one starts, or
    /// before the last one; an only document is not cut.
    pub fn split_off(&mut self, at: usize) -> Self {
        let at = match self.documents.partition_point(|start| *start < at) {
            _ if self.documents.is_empty() || at >= self.len() => at,
            next if next < self.documents.len() => self.documents[next],
            1 => self.len(),
            count => self.documents[count - 1],
        };
        let moved = |range: &Range<usize>| range.start.max(at) - at..range.end - at;
        let given = self.given.iter().filter(|range| range.end > at).map(moved).collect();
        self.given.retain(|range| range.start < at);
        if let Some(last) = self.given.last_mut() {
            last.end = last.end.min(at);
        }
        let after = self.documents.iter().filter(|start| **start >= at);
        let documents = after.map(|start| start - at).collect();
        self.documents.retain(|start| *start < at);
        Self { ids: self.ids.split_off(at), given, documents }
    }

    /// The stretches that are read from the start of a document: `context` tokens and one more to
    /// predict, or fewer at the end of a document; only those with something to predict.
    pub(super) fn windows(&self, context: usize) -> Vec<Range<usize>> {
        let ends = self.documents.iter().skip(1).copied().chain([self.len()]);
        let mut windows = Vec::new();
        for (first, end) in self.documents.iter().copied().zip(ends) {
            for start in (first..end.saturating_sub(1)).step_by(context.max(1)) {
                let window = start..(start + context + 1).min(end);
                if self.teaches(&window) {
                    windows.push(window);
                }
            }
        }
        windows
    }

    /// Whether a token of the window, except its first, is to be predicted.
    fn teaches(&self, window: &Range<usize>) -> bool {
        let mut at = window.start + 1;
        for range in self.given_in(window) {
            if range.start > at {
                return true;
            }
            at = at.max(range.end);
        }
        at < window.end
    }

    /// The ranges of tokens that are not to be predicted and reach into the window.
    pub(super) fn given_in(&self, window: &Range<usize>) -> impl Iterator<Item = &Range<usize>> {
        let (start, end) = (window.start, window.end);
        let first = self.given.partition_point(|range| range.end <= start);
        self.given[first..].iter().take_while(move |range| range.start < end)
    }

    /// Adds all of it to a hash.
    pub(super) fn hash(&self, hash: &mut Hash) {
        let numbers = |numbers: &[usize]| {
            numbers.iter().flat_map(|number| (*number as u64).to_le_bytes()).collect::<Vec<_>>()
        };
        let given: Vec<usize> =
            self.given.iter().flat_map(|range| [range.start, range.end]).collect();
        hash.add(&numbers(&[self.len(), given.len(), self.documents.len()]));
        let ids: Vec<u8> = self.ids.iter().flat_map(|id| id.to_le_bytes()).collect();
        [ids, numbers(&given), numbers(&self.documents)].iter().for_each(|bytes| hash.add(bytes));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn only(range: Range<usize>) -> Vec<Range<usize>> {
        std::iter::once(range).collect()
    }

    fn talk() -> Tokens {
        Tokens { ids: (0..10).collect(), given: vec![0..2, 5..8], documents: vec![0, 5] }
    }

    #[test]
    fn the_reference_ignores_the_same_targets() {
        assert_eq!(IGNORED, crate::reference::backward::IGNORED);
    }

    #[test]
    fn conversations_stay_whole_where_they_are_cut_and_joined() {
        let cut = |at: usize| {
            let mut first = talk();
            let second = first.split_off(at);
            (first.len(), second.len(), second.given, second.documents)
        };
        let second = (5, 5, only(0..3), vec![0]);
        assert_eq!([cut(1), cut(5), cut(9)], [second.clone(), second.clone(), second]);
        assert_eq!(cut(10), (10, 0, vec![], vec![]));
        let mut single = Tokens { documents: vec![0], ..(0..9).collect() };
        assert_eq!((single.split_off(8).len(), single.len()), (0, 9));
        for at in [0, 5, 10] {
            let mut first = talk();
            let second = first.split_off(at);
            first.append(second);
            assert_eq!(first, talk());
        }
        let mut text: Tokens = (0..3).collect();
        text.append(talk());
        assert_eq!((&text.given[..], &text.documents[..]), (&[3..5, 8..11][..], &[0, 3, 8][..]));
        text.append((0..3).collect());
        assert_eq!(text.documents, [0, 3, 8, 13]);
        let mut text: Tokens = (0..3).collect();
        text.append((3..5).collect());
        assert_eq!(text, (0..5).collect());
        let mut given = Tokens { given: only(1..4), ..(0..6).collect() };
        let second = given.split_off(2);
        assert_eq!((given.given, second.given), (only(1..2), only(0..2)));
    }

    #[test]
    fn windows_start_with_a_document_and_have_something_to_predict() {
        assert_eq!(talk().windows(4), [0..5, 5..10]);
        assert_eq!(talk().windows(2), [0..3, 2..5, 7..10]);
        let all = Tokens { given: only(0..10), ..talk() };
        assert!(all.windows(4).is_empty());
        assert!((0..10).collect::<Tokens>().windows(4).is_empty(), "no documents");
    }
}
