//! Selections made to be tried: every variant, on whatever shape.

use crate::gpu::Caps;

use super::variants::offers;
use super::{AttentionTiling, KernelSelection, Lanes, Matmul, Reduce};

impl KernelSelection {
    /// Every variant that a device offers, in as few choices as hold them all: what a self-test has
    /// to try.
    pub fn all(caps: &Caps) -> Vec<Self> {
        let offered = |name: &str| offers(caps, name);
        let mut reduces = Reduce::candidates(caps);
        reduces.retain(|reduce| offered(reduce.part()));
        let mut lanes = Lanes::candidates(caps);
        lanes.retain(|lanes| offered(lanes.rests_on()));
        let tilings = AttentionTiling::candidates(caps);
        Self::defaults(caps).over(&reduces, &lanes, &Matmul::candidates(caps), &tilings)
    }

    /// Every variant that these choices come to for some shape or other.
    pub fn trials(&self) -> Vec<Self> {
        let mut lanes: Vec<Lanes> = (1..=64).map(|words| self.lanes_with_work(words)).collect();
        lanes.extend(self.profile.lanes.values());
        let mut matmuls = vec![self.matmul];
        matmuls.extend(self.profile.matmul.values());
        // Rows of many values may want wider sums: see `reduce_over`.
        let reduces = [self.reduce, self.reduce_over(usize::MAX)];
        self.over(&reduces, &distinct(lanes), &distinct(matmuls), &[self.attention])
    }

    /// These choices with each of the variants, in turn.
    fn over(
        &self,
        reduces: &[Reduce],
        lanes: &[Lanes],
        matmuls: &[Matmul],
        tilings: &[AttentionTiling],
    ) -> Vec<Self> {
        let count = reduces.len().max(lanes.len()).max(matmuls.len()).max(tilings.len());
        let choice = |i: usize| Self {
            reduce: reduces[i % reduces.len()],
            lanes: lanes[i % lanes.len()],
            matmul: matmuls[i % matmuls.len()],
            attention: tilings[i % tilings.len()],
            forced: true,
            ..self.clone()
        };
        (0..count).map(choice).collect()
    }
}

fn distinct<T: PartialEq>(all: Vec<T>) -> Vec<T> {
    let mut kept = Vec::new();
    for one in all {
        if !kept.contains(&one) {
            kept.push(one);
        }
    }
    kept
}
