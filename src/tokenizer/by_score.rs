//! SentencePiece's byte-pair encoding: scores instead of merges.

use std::cmp::{Ordering, Reverse};
use std::collections::BinaryHeap;

use tokenizers::{Model, Token};

/// Byte-pair encoding by scores.
///
/// It starts from single characters. Of all adjacent pairs that form a token, the one with the
/// highest score is merged first, of equal ones the leftmost, until none is left. A character
/// without a token falls back to its bytes. (A list of merges is not quite the same: it ranks two
/// ways to form one token, where the score ranks them equal and the position decides.)
#[derive(Debug)]
pub(super) struct ByScore {
    /// The score of each id; `None` for tokens that text is never encoded as.
    pub(super) scores: Vec<Option<f32>>,
    pub(super) unknown: Option<u32>,
}

/// A span of the text between two others; empty once it has been merged into its left neighbor.
#[derive(Clone, Copy, Debug)]
struct Symbol {
    start: usize,
    end: usize,
    left: Option<usize>,
    right: Option<usize>,
}

/// Two neighbors that form a token.
#[derive(Clone, Copy, Debug)]
struct Join {
    score: f32,
    left: usize,
    right: usize,
    /// The end of the two, which shows whether one has grown since.
    end: usize,
}

impl ByScore {
    /// The tokens of a text whose spaces are already `▁`; `vocab` maps tokens to ids.
    pub(super) fn tokenize(
        &self,
        vocab: &impl Model,
        text: &str,
    ) -> tokenizers::Result<Vec<Token>> {
        let symbols = self.join(vocab, text);
        let mut tokens: Vec<Token> = Vec::with_capacity(symbols.len());
        for symbol in symbols.iter().filter(|symbol| symbol.start < symbol.end) {
            let offsets = (symbol.start, symbol.end);
            let spelled = &text[symbol.start..symbol.end];
            let push = |id| Token::new(id, String::new(), offsets);
            if let Some((id, _)) = self.find(vocab, spelled) {
                tokens.push(push(id));
                continue;
            }
            let bytes = spelled.bytes().map(|byte| vocab.token_to_id(&format!("<0x{byte:02X}>")));
            if let Some(bytes) = bytes.collect::<Option<Vec<u32>>>() {
                tokens.extend(bytes.into_iter().map(push));
                continue;
            }
            let unknown = self.unknown.ok_or_else(|| {
                format!("the vocabulary has no token for {spelled:?}, and none for the unknown")
            })?;
            // A run of unknown characters is one token.
            match tokens.last_mut().filter(|last| last.id == unknown) {
                Some(last) => last.offsets.1 = symbol.end,
                None => tokens.push(push(unknown)),
            }
        }
        Ok(tokens)
    }

    /// A token that text may be encoded as, with its score.
    fn find(&self, vocab: &impl Model, spelled: &str) -> Option<(u32, f32)> {
        let id = vocab.token_to_id(spelled)?;
        let score = self.scores.get(id as usize).copied().flatten()?;
        Some((id, score))
    }

    fn join(&self, vocab: &impl Model, text: &str) -> Vec<Symbol> {
        let mut symbols: Vec<Symbol> = text
            .char_indices()
            .enumerate()
            .map(|(at, (start, char))| Symbol {
                start,
                end: start + char.len_utf8(),
                left: at.checked_sub(1),
                right: Some(at + 1),
            })
            .collect();
        if let Some(last) = symbols.last_mut() {
            last.right = None;
        }
        let candidate = |symbols: &[Symbol], left: Option<usize>, right: Option<usize>| {
            let (left, right) = (left?, right?);
            let end = symbols[right].end;
            let (_, score) = self.find(vocab, &text[symbols[left].start..end])?;
            Some(Join { score, left, right, end })
        };
        let mut queue: BinaryHeap<Join> = (1..symbols.len())
            .filter_map(|right| candidate(&symbols, Some(right - 1), Some(right)))
            .collect();
        while let Some(Join { left, right, end, .. }) = queue.pop() {
            // Either side may have been merged with another in the meantime.
            let current = symbols[left].start < symbols[left].end
                && symbols[left].right == Some(right)
                && symbols[right].end == end;
            if !current {
                continue;
            }
            let after = symbols[right].right;
            symbols[left].end = end;
            symbols[left].right = after;
            symbols[right].start = end;
            if let Some(after) = after {
                symbols[after].left = Some(left);
            }
            queue.extend(candidate(&symbols, symbols[left].left, Some(left)));
            queue.extend(candidate(&symbols, Some(left), after));
        }
        symbols
    }
}

impl Ord for Join {
    /// The best merge is the greatest.
    fn cmp(&self, other: &Self) -> Ordering {
        let key = |join: &Self| (Reverse(join.left), Reverse(join.end));
        self.score.total_cmp(&other.score).then_with(|| key(self).cmp(&key(other)))
    }
}

impl PartialOrd for Join {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Join {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Join {}
