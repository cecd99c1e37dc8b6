//! Which values of a text are read in one run: as many as may be in memory at once.

use crate::config::Config;
use crate::hook::Hook;
use crate::model::bytes_of;

/// The most bytes of values that a run gives, unless a single value has more.
const AT_ONCE: u64 = 256 << 20;

/// Cuts values of a text of so many tokens into groups that are read in one run each.
pub(super) fn in_memory(config: &Config, hooks: &[Hook], tokens: usize) -> Vec<Vec<Hook>> {
    let mut groups: Vec<Vec<Hook>> = Vec::new();
    let mut bytes = 0;
    for hook in hooks {
        let own = bytes_of(config, &[*hook], tokens, tokens);
        bytes += own;
        match groups.last_mut().filter(|_| bytes <= AT_ONCE) {
            Some(group) => group.push(*hook),
            None => {
                groups.push(vec![*hook]);
                bytes = own;
            }
        }
    }
    groups
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checkpoint::Checkpoint;

    #[test]
    fn large_values_are_read_apart_and_small_ones_together() {
        let checkpoint = Checkpoint::built_in().unwrap();
        let config = checkpoint.config();
        let hooks: Vec<Hook> = (0..config.layers).map(Hook::Pattern).collect();
        assert_eq!(in_memory(config, &hooks, 10), std::slice::from_ref(&hooks));
        // A pattern of so many tokens has 128 MiB or more: two at once are over the most.
        let tokens = ((128 << 20) / (4 * config.heads)).isqrt() + 1;
        let single: Vec<Vec<Hook>> = hooks.iter().map(|hook| vec![*hook]).collect();
        assert_eq!(in_memory(config, &hooks, tokens), single);
        assert!(in_memory(config, &[], 10).is_empty());
    }
}
