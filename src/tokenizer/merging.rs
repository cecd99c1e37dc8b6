//! Learning merges: the most frequent pair of neighbors becomes a token, again and again.
//!
//! Each merge visits the places of its pair only, in lists that are linked, so the time grows about
//! as the text does, however long its stretches without a blank are.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};

use crate::error::{Error, Result};

/// Two neighboring tokens.
type Pair = (u32, u32);

/// No place.
const NONE: u32 = u32::MAX;

/// The text as different words, each a row of symbols with its number of occurrences.
#[derive(Debug, Default)]
struct Words {
    /// The token at each place; [`NONE`] once it has been merged into the one before it.
    symbol: Vec<u32>,
    before: Vec<u32>,
    after: Vec<u32>,
    word: Vec<u32>,
    counts: Vec<u64>,
}

/// Where a pair occurs, and how often.
#[derive(Debug, Default)]
struct Places {
    count: u64,
    /// The places of the left token; some may no longer be.
    at: Vec<u32>,
}

/// The vocabulary and the merges so far.
#[derive(Debug)]
pub(super) struct Learned {
    /// The tokens by id.
    pub(super) tokens: Vec<String>,
    /// The merged pairs, best first.
    pub(super) merges: Vec<(String, String)>,
    ids: HashMap<String, u32>,
}

impl Learned {
    /// A vocabulary of these tokens, each once, and no merges.
    pub(super) fn new(tokens: impl IntoIterator<Item = String>) -> Self {
        let mut learned = Self { tokens: Vec::new(), merges: Vec::new(), ids: HashMap::new() };
        for token in tokens {
            learned.id(token);
        }
        learned
    }

    /// The id of a token, which is added if it is new.
    fn id(&mut self, token: String) -> u32 {
        let next = self.tokens.len() as u32;
        *self.ids.entry(token).or_insert_with_key(|token| {
            self.tokens.push(token.clone());
            next
        })
    }

    /// Merges pairs that occur at least `min_frequency` times until there are `vocab_size` tokens,
    /// and tells `progress` how many there are. A word is spelled by `letter`, a token for each byte.
    ///
    /// # Errors
    /// [`Error::Input`] for words too long to count their places.
    pub(super) fn learn(
        &mut self,
        words: &HashMap<String, u64>,
        letter: impl Fn(u8) -> String,
        vocab_size: usize,
        min_frequency: u64,
        mut progress: impl FnMut(usize),
    ) -> Result<()> {
        let letters: Vec<u32> = (0..=u8::MAX).map(|byte| self.id(letter(byte))).collect();
        let mut words = Words::new(words, &letters)?;
        let mut pairs = words.pairs();
        let mut queue: BinaryHeap<(u64, Reverse<Pair>)> =
            pairs.iter().map(|(pair, places)| (places.count, Reverse(*pair))).collect();
        while self.tokens.len() < vocab_size {
            let Some((count, Reverse(pair))) = queue.pop() else { break };
            match pairs.get(&pair).map_or(0, |places| places.count) {
                0 => continue,
                now if now != count => {
                    queue.push((now, Reverse(pair)));
                    continue;
                }
                _ => {}
            }
            if count < min_frequency {
                break;
            }
            let [left, right] = [pair.0, pair.1].map(|id| self.tokens[id as usize].clone());
            let merged = self.id(format!("{left}{right}"));
            self.merges.push((left, right));
            for pair in words.merge(pair, merged, &mut pairs) {
                queue.push((pairs[&pair].count, Reverse(pair)));
            }
            progress(self.tokens.len());
        }
        Ok(())
    }
}

impl Words {
    fn new(words: &HashMap<String, u64>, letters: &[u32]) -> Result<Self> {
        let total: usize = words.keys().map(String::len).sum();
        let limit = NONE as usize;
        if total >= limit {
            let reason =
                format!("the texts have {total} bytes of different words; {limit} is too many");
            return Err(Error::Input(reason));
        }
        let mut all = Self::default();
        let (mut place, mut index) = (0_u32, 0_u32);
        for (word, count) in words {
            let start = place;
            for byte in word.bytes() {
                all.symbol.push(letters[usize::from(byte)]);
                all.before.push(if place == start { NONE } else { place - 1 });
                place += 1;
                all.after.push(place);
                all.word.push(index);
            }
            if let Some(last) = all.after.last_mut() {
                *last = NONE;
            }
            all.counts.push(*count);
            index += 1;
        }
        Ok(all)
    }

    fn count(&self, place: u32) -> u64 {
        self.counts[self.word[place as usize] as usize]
    }

    /// Every pair with its places.
    fn pairs(&self) -> HashMap<Pair, Places> {
        let mut pairs: HashMap<Pair, Places> = HashMap::new();
        for (place, (left, after)) in (0_u32..).zip(self.symbol.iter().zip(&self.after)) {
            if *after != NONE {
                let places = pairs.entry((*left, self.symbol[*after as usize])).or_default();
                places.count += self.count(place);
                places.at.push(place);
            }
        }
        pairs
    }

    /// Merges a pair from left to right wherever it is; returns the pairs that this made.
    fn merge(
        &mut self,
        (left, right): Pair,
        merged: u32,
        pairs: &mut HashMap<Pair, Places>,
    ) -> Vec<Pair> {
        let mut at = pairs.remove(&(left, right)).unwrap_or_default().at;
        at.sort_unstable();
        let mut made = Vec::new();
        for place in at {
            let second = self.after[place as usize];
            let still = self.symbol[place as usize] == left
                && second != NONE
                && self.symbol[second as usize] == right;
            if !still {
                continue;
            }
            let (first, after) = (self.before[place as usize], self.after[second as usize]);
            let count = self.count(place);
            let mut lose = |pair| {
                // The pair that is being merged is no longer among them.
                if let Some(places) = pairs.get_mut(&pair) {
                    places.count = places.count.saturating_sub(count);
                }
            };
            if first != NONE {
                lose((self.symbol[first as usize], left));
            }
            if after != NONE {
                lose((right, self.symbol[after as usize]));
            }
            let mut gain = |pair, at| {
                let places = pairs.entry(pair).or_default();
                places.count += count;
                places.at.push(at);
                made.push(pair);
            };
            if first != NONE {
                gain((self.symbol[first as usize], merged), first);
            }
            if after != NONE {
                gain((merged, self.symbol[after as usize]), place);
                self.before[after as usize] = place;
            }
            self.symbol[place as usize] = merged;
            self.symbol[second as usize] = NONE;
            self.after[place as usize] = after;
        }
        made.sort_unstable();
        made.dedup();
        made.retain(|pair| pairs[pair].count > 0);
        made
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What counting every pair anew before each merge gives.
    fn plain(words: &HashMap<String, u64>, vocab_size: usize) -> Vec<(String, String)> {
        let letters = |word: &String| word.bytes().map(|byte| vec![byte]).collect();
        let mut rows: Vec<(Vec<Vec<u8>>, u64)> =
            words.iter().map(|(word, count)| (letters(word), *count)).collect();
        let mut tokens: Vec<Vec<u8>> = (0..=u8::MAX).map(|byte| vec![byte]).collect();
        let mut merges = Vec::new();
        while tokens.len() < vocab_size {
            let id = |token: &Vec<u8>| tokens.iter().position(|known| known == token).unwrap();
            let mut counts: HashMap<(usize, usize), u64> = HashMap::new();
            for (row, count) in &rows {
                for pair in row.windows(2) {
                    *counts.entry((id(&pair[0]), id(&pair[1]))).or_default() += count;
                }
            }
            let best = counts.iter().max_by_key(|(pair, count)| (**count, Reverse(**pair)));
            let Some((&(left, right), _)) = best else { break };
            let (left, right) = (tokens[left].clone(), tokens[right].clone());
            let merged = [left.clone(), right.clone()].concat();
            for (row, _) in &mut rows {
                let mut at = 0;
                while at + 1 < row.len() {
                    if row[at] == left && row[at + 1] == right {
                        row[at].clone_from(&merged);
                        row.remove(at + 1);
                    }
                    at += 1;
                }
            }
            if !tokens.contains(&merged) {
                tokens.push(merged);
            }
            let text = |bytes| String::from_utf8(bytes).unwrap();
            merges.push((text(left), text(right)));
        }
        merges
    }

    #[test]
    fn merges_are_those_of_a_plain_count() {
        let mut state = 3_usize;
        let mut roll = |bound: usize| {
            state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
            (state >> 33) % bound
        };
        for letters in [2, 3, 5] {
            let mut words: HashMap<String, u64> = HashMap::new();
            for _ in 0..8 {
                let length = roll(60);
                let word = (0..length).map(|_| char::from(b'a' + roll(letters) as u8)).collect();
                *words.entry(word).or_default() += 1 + roll(4) as u64;
            }
            let expected = plain(&words, 300);
            let letter = |byte: u8| char::from(byte).to_string();
            let mut learned = Learned::new((0..=u8::MAX).map(letter));
            learned.learn(&words, letter, 300, 0, |_| {}).unwrap();
            assert!(expected.len() >= 40, "{letters}");
            assert_eq!(learned.merges, expected, "{letters}");
        }
    }
}
