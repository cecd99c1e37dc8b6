//! Stop texts: what may be shown while a partial match could still be completed.

/// Holds back the part of a text that could be the start of a stop text.
#[derive(Clone, Debug, Default)]
pub(super) struct StopText {
    stops: Vec<String>,
    held: String,
}

impl StopText {
    pub(super) fn new(stops: &[String]) -> Self {
        let stops = stops.iter().filter(|stop| !stop.is_empty()).cloned().collect();
        Self { stops, held: String::new() }
    }

    /// Takes the next piece; gives what may be shown, and whether a stop text was reached.
    pub(super) fn push(&mut self, piece: &str) -> (String, bool) {
        self.held.push_str(piece);
        let found = self.stops.iter().filter_map(|stop| self.held.find(stop.as_str())).min();
        if let Some(at) = found {
            self.held.truncate(at);
            return (std::mem::take(&mut self.held), true);
        }
        let keep = self.stops.iter().map(|stop| overlap(&self.held, stop)).max().unwrap_or(0);
        let rest = self.held.split_off(self.held.len() - keep);
        (std::mem::replace(&mut self.held, rest), false)
    }

    /// What was held back, once no more text comes.
    pub(super) fn finish(&mut self) -> String {
        std::mem::take(&mut self.held)
    }
}

/// The bytes of the longest suffix of `text` that is a prefix of `stop`.
fn overlap(text: &str, stop: &str) -> usize {
    let starts = text.char_indices().map(|(at, _)| at);
    starts.map(|at| &text[at..]).find(|end| stop.starts_with(end)).map_or(0, str::len)
}

#[cfg(test)]
mod tests {
    use super::StopText;

    #[test]
    fn a_stop_text_across_pieces_is_never_shown() {
        let mut stop = StopText::new(&["\nUser:".to_owned(), "END".to_owned()]);
        assert_eq!(stop.push("hello\n"), ("hello".to_owned(), false));
        assert_eq!(stop.push("Us"), (String::new(), false));
        assert_eq!(stop.push("ual"), ("\nUsual".to_owned(), false));
        assert_eq!(stop.push(" E"), (" ".to_owned(), false));
        assert_eq!(stop.push("ND of it"), (String::new(), true));
    }

    #[test]
    fn what_was_held_back_comes_at_the_end() {
        let mut stop = StopText::new(&["äö".to_owned()]);
        assert_eq!(stop.push("aä"), ("a".to_owned(), false));
        assert_eq!(stop.finish(), "ä");
    }
}
