//! What `pellucid bench` measures: one run of each case.

use std::time::{Duration, Instant};

use clap::ValueEnum;
use pellucid::Result;
use pellucid::generate::{Llm, Request};

/// What is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Case {
    /// Prefill of 128 tokens, up to the first token
    Pp128,
    /// Prefill of 512 tokens, up to the first token
    Pp512,
    /// Decode of 64 tokens, from an empty context
    Tg64,
    /// Decode of 64 tokens, the last of a context of 512
    #[value(name = "tg64_context_512")]
    Tg64Context512,
    /// Decode of 64 tokens, the last of a context of 4096
    #[value(name = "tg64_context_4096")]
    Tg64Context4096,
    /// Decode of 64 tokens for each of four sequences at once; all are counted
    Batch4,
    /// What the adapter can do at best
    Ceilings,
}

/// Tokens that are timed when decoding is measured; one more is decoded before them.
const DRAWN: usize = 64;

/// The sequences of [`Case::Batch4`].
pub(crate) const BATCH: usize = 4;

/// The context that [`Case::Batch4`] needs.
pub(crate) const BATCH_CONTEXT: usize = DRAWN + 1;

/// When tokens arrived.
#[derive(Clone, Debug)]
pub(crate) struct Arrivals {
    times: Vec<Duration>,
    /// How many tokens lie between two times.
    tokens: usize,
}

impl Arrivals {
    /// Tokens per second from the first time to the last.
    pub(crate) fn speed(&self) -> f64 {
        self.stretches(1)[0]
    }

    /// Tokens per second in each of `count` equal stretches, up to the last time.
    pub(crate) fn stretches(&self, count: usize) -> Vec<f64> {
        let last = self.times.len() - 1;
        let count = count.min(last);
        let steps = last / count;
        let starts = (0..count).map(|stretch| last - (count - stretch) * steps);
        let time = |start: usize| (self.times[start + steps] - self.times[start]).as_secs_f64();
        starts.map(|start| (steps * self.tokens) as f64 / time(start)).collect()
    }
}

impl Case {
    /// Its name in options and in JSON.
    pub(crate) fn name(self) -> String {
        self.to_possible_value().map_or_else(String::new, |value| value.get_name().to_owned())
    }

    /// The tokens of its prompt.
    fn prompt(self) -> usize {
        match self {
            Self::Pp128 => 128,
            Self::Pp512 => 512,
            Self::Tg64 | Self::Batch4 | Self::Ceilings => 1,
            Self::Tg64Context512 => 512 - DRAWN,
            Self::Tg64Context4096 => 4096 - DRAWN,
        }
    }

    /// The tokens that it generates.
    fn drawn(self) -> usize {
        if matches!(self, Self::Pp128 | Self::Pp512) { 1 } else { DRAWN + 1 }
    }

    /// The positions that it needs; the last token is never read.
    pub(crate) fn context(self) -> usize {
        self.prompt() + self.drawn() - 1
    }

    /// Whether a long prefill comes before the measured decode.
    pub(crate) fn has_long_start(self) -> bool {
        matches!(self, Self::Tg64Context512 | Self::Tg64Context4096)
    }

    /// Runs it once.
    ///
    /// # Errors
    /// Those of [`Llm::stream`] and [`Llm::generate_batch`].
    pub(crate) async fn run(self, llm: &mut Llm) -> Result<Arrivals> {
        if self == Self::Batch4 {
            return batch(llm).await;
        }
        let prompt = prompt(llm, self.prompt(), 0);
        let start = Instant::now();
        let mut times = Vec::with_capacity(self.drawn());
        let mut stream = llm.stream(&prompt, &request(self.drawn()))?;
        while stream.next().await?.is_some() {
            times.push(start.elapsed());
        }
        stream.finish().await?;
        if self.drawn() > 1 {
            return Ok(Arrivals { times, tokens: 1 });
        }
        times.insert(0, Duration::ZERO);
        Ok(Arrivals { times, tokens: prompt.len() })
    }
}

/// Greedy, and never ended by an end-of-text token.
pub(crate) fn request(drawn: usize) -> Request {
    Request { max_new_tokens: drawn, ignore_eos: true, ..Request::default() }
}

/// Four sequences at once. What a batch takes in addition to its steps is measured with a batch of
/// one step, and subtracted.
async fn batch(llm: &mut Llm) -> Result<Arrivals> {
    let prompts: Vec<Vec<u32>> = (0..BATCH as u64).map(|seed| prompt(llm, 1, seed)).collect();
    let prompts: Vec<&[u32]> = prompts.iter().map(Vec::as_slice).collect();
    let mut times = Vec::new();
    for drawn in [1, DRAWN + 1] {
        let start = Instant::now();
        llm.generate_batch(&prompts, &request(drawn)).await?;
        times.push(start.elapsed());
    }
    times.sort();
    Ok(Arrivals { times, tokens: BATCH * DRAWN })
}

/// Random token ids, the same in every run, by `SplitMix64`.
pub(crate) fn prompt(llm: &Llm, length: usize, seed: u64) -> Vec<u32> {
    let vocab = llm.config().vocab as u64;
    let mix = |mut z: u64| {
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    };
    let states = (1..=length as u64)
        .map(|n| (seed << 32).wrapping_add(n).wrapping_mul(0x9e37_79b9_7f4a_7c15));
    states.map(|state| (mix(state) % vocab) as u32).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stretches_end_with_the_last_token() {
        let times = (0..=7).map(|n| Duration::from_secs(n * n)).collect();
        let arrivals = Arrivals { times, tokens: 2 };
        assert_eq!(arrivals.speed(), 14.0 / 49.0);
        // Seven steps make three stretches of two; the first step is left out.
        assert_eq!(arrivals.stretches(3), [4.0 / 8.0, 4.0 / 16.0, 4.0 / 24.0]);
    }

    #[test]
    fn contexts_are_what_the_names_say() {
        assert_eq!(Case::Tg64Context512.context(), 512);
        assert_eq!(Case::Tg64Context4096.context(), 4096);
        assert_eq!(Case::Pp128.context(), 128);
    }
}
