//! What the caches hold from one generation to the next.

/// The tokens of the first sequence whose keys and values lie in the caches, from position 0 on.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Known(Vec<u32>);

impl Known {
    pub(super) fn new(tokens: Vec<u32>) -> Self {
        Self(tokens)
    }

    pub(super) fn tokens(&self) -> &[u32] {
        &self.0
    }

    /// How many of a prompt's first tokens need not be read again. Its last one always is: the
    /// first drawn token is predicted from it.
    pub(super) fn shared(&self, prompt: &[u32]) -> usize {
        let alike = self.0.iter().zip(prompt).take_while(|(known, token)| known == token).count();
        alike.min(prompt.len().saturating_sub(1))
    }
}

#[cfg(test)]
mod tests {
    use super::Known;

    #[test]
    fn a_prompt_shares_its_beginning_but_never_its_last_token() {
        let known = Known::new(vec![1, 2, 3]);
        for (prompt, shared) in [
            (&[1, 2, 3, 4][..], 3),
            (&[1, 2, 3], 2),
            (&[1, 2], 1),
            (&[1, 5, 3, 4], 1),
            (&[5, 2, 3], 0),
            (&[1], 0),
            (&[], 0),
        ] {
            assert_eq!(known.shared(prompt), shared, "{prompt:?}");
        }
        assert_eq!(Known::default().shared(&[1, 2]), 0);
    }
}
