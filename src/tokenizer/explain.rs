//! Encoding, step by step.

use serde::Serialize;
use serde_json::Value;
use tokenizers::{OffsetReferential, OffsetType};

use super::encoding::{Encode, Ranks, Tokenizer};
use crate::error::Result;

/// A piece that the tokenizer's pattern cuts from a text, and how its tokens are found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Piece {
    /// The text of the piece.
    pub text: String,
    /// The symbols before the first merge, as the vocabulary spells them: in byte-level BPE one
    /// character per byte. Empty for a token that is cut from the text as a whole.
    pub symbols: Vec<String>,
    /// The merges in order; `None` if the tokenizer does not use them, or if the piece has more
    /// than 1000 symbols: nobody could follow its merges, whose time grows as the square.
    pub merges: Option<Vec<Merge>>,
    /// The resulting tokens.
    pub ids: Vec<u32>,
}

/// One merge of two neighboring symbols.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Merge {
    /// Its place in the list of merges: of all possible merges the lowest comes first.
    pub rank: usize,
    /// The index of the left symbol among those before the merge.
    pub at: usize,
    /// The merged symbol.
    pub symbol: String,
}

/// The longest piece whose merges are listed.
const MOST_SYMBOLS: usize = 1000;

impl Tokenizer {
    /// How [`Tokenizer::encode`] finds the tokens of a text, without those that begin every text.
    ///
    /// # Errors
    /// As [`Tokenizer::encode`].
    pub fn explain(&self, text: &str, options: Encode) -> Result<Vec<Piece>> {
        let added = self.recognized(options.special);
        let text = self.spaced(text);
        let mut pieces = self.0.pipeline.pieces(added, &text, None)?;
        self.merge_pieces(&mut pieces)?;
        let splits = pieces.get_splits(OffsetReferential::Original, OffsetType::Byte);
        let spelled = pieces.get_splits(OffsetReferential::Normalized, OffsetType::Byte);
        let whole = added.get_added_tokens_decoder();
        let piece = |((_, (start, end), tokens), (spelled, _, _)): (Split<'_>, Split<'_>)| {
            let tokens = tokens.as_deref().unwrap_or_default();
            let ids: Vec<u32> = tokens.iter().map(|token| token.id).collect();
            let text = text.get(start..end).unwrap_or(spelled).to_owned();
            if ids.iter().any(|id| whole.contains_key(id)) {
                return Piece { text, symbols: Vec::new(), merges: Some(Vec::new()), ids };
            }
            let symbols: Vec<String> = spelled.chars().map(String::from).collect();
            if symbols.len() > MOST_SYMBOLS {
                return Piece { text, symbols, merges: None, ids };
            }
            let (merges, found) = merge(symbols.clone(), self.ranks());
            // Some vocabularies contain whole words that no merge reaches.
            let alike = found.iter().eq(tokens.iter().map(|token| &token.value));
            Piece { text, symbols, merges: alike.then_some(merges), ids }
        };
        Ok(splits.into_iter().zip(spelled).map(piece).collect())
    }

    /// The merges of the pipeline's model; `None` if it does not use them.
    fn ranks(&self) -> &Ranks {
        self.0.ranks.get_or_init(|| {
            let model = serde_json::to_value(&self.0.pipeline.model).unwrap_or_default();
            let merges = model["merges"].as_array().map_or(&[][..], Vec::as_slice);
            let pair = |merge: &Value| match merge {
                Value::String(pair) => pair.split_once(' ').map(|(a, b)| (a.into(), b.into())),
                pair => Some((pair[0].as_str()?.to_owned(), pair[1].as_str()?.to_owned())),
            };
            merges.iter().zip(0..).filter_map(|(merge, rank)| Some((pair(merge)?, rank))).collect()
        })
    }
}

type Split<'a> = (&'a str, (usize, usize), &'a Option<Vec<tokenizers::Token>>);

/// Merges the pair of the lowest rank, the leftmost of several, until none is left. Sennrich et al.
/// 2016.
fn merge(mut symbols: Vec<String>, ranks: &Ranks) -> (Vec<Merge>, Vec<String>) {
    let mut merges = Vec::new();
    loop {
        let pairs = symbols.windows(2).zip(0..);
        let known = pairs.filter_map(|(pair, at)| {
            let rank = ranks.get(&(pair[0].clone(), pair[1].clone()))?;
            Some((*rank, at))
        });
        let Some((rank, at)) = known.min() else { return (merges, symbols) };
        let right = symbols.remove(at + 1);
        symbols[at].push_str(&right);
        merges.push(Merge { rank, at, symbol: symbols[at].clone() });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tokenizer::Special;

    fn built_in() -> Tokenizer {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/assets/built_in/tokenizer.json");
        Tokenizer::from_json(path.as_ref()).unwrap()
    }

    #[test]
    fn the_explanation_is_what_encode_does() {
        let tokenizer = built_in();
        for text in ["ROMEO: But soft!", "naïve  日本\n\n", "", " the the there", "a<|end|>b"] {
            let pieces = tokenizer.explain(text, Encode::default()).unwrap();
            let ids: Vec<u32> = pieces.iter().flat_map(|piece| piece.ids.clone()).collect();
            assert_eq!(ids, tokenizer.encode(text, Encode::default()).unwrap());
            assert_eq!(pieces.iter().map(|piece| piece.text.as_str()).collect::<String>(), text);
            for piece in pieces {
                let merges = piece.merges.expect("all tokens are found by merges");
                assert_eq!(merges.len() + piece.ids.len(), piece.symbols.len());
            }
        }
    }

    #[test]
    fn a_very_long_piece_has_no_list() {
        let tokenizer = built_in();
        let text = "a".repeat(100_000);
        let pieces = tokenizer.explain(&text, Encode::default()).unwrap();
        assert_eq!((pieces.len(), pieces[0].symbols.len()), (1, 100_000));
        assert_eq!(pieces[0].merges, None);
        assert_eq!(pieces[0].ids, tokenizer.encode(&text, Encode::default()).unwrap());
    }

    /// The least rank first, then the leftmost.
    #[test]
    fn merges_in_their_order() {
        let pairs = [("b", "c"), ("a", "b"), ("bc", "d")];
        let own = |(a, b): (&str, &str)| (a.to_owned(), b.to_owned());
        let ranks = pairs.into_iter().map(own).zip(0..).collect();
        let symbols = "abcdbc".chars().map(String::from).collect();
        let (merges, left) = merge(symbols, &ranks);
        let steps: Vec<_> = merges.iter().map(|m| (m.rank, m.at, m.symbol.as_str())).collect();
        assert_eq!(steps, [(0, 1, "bc"), (0, 3, "bc"), (2, 1, "bcd")]);
        assert_eq!(left, ["a", "bcd", "bc"]);
    }

    #[test]
    fn a_special_token_is_cut_out_whole() {
        let tokenizer = built_in();
        let end = tokenizer.token(0).unwrap();
        let text = format!("so{end}");
        let options = Encode { special: Special::Recognize, ..Encode::default() };
        let pieces = tokenizer.explain(&text, options).unwrap();
        assert_eq!(
            pieces.last().map(|piece| (&piece.ids[..], piece.symbols.len())),
            Some((&[0][..], 0))
        );
        assert_eq!(pieces.last().map(|piece| piece.text.as_str()), Some(end.as_str()));
    }
}
