//! The report on the data of a run.

use std::collections::BTreeMap;

use pellucid::train::Found;

use super::settings::Settings;
use crate::output;

/// Says what was found in the texts, and what was not used of them.
pub(super) fn found(found: &Found, settings: &Settings) {
    lines(found, settings).iter().for_each(|line| match line {
        Line::Note(text) => output::note(text),
        Line::Warning(text) => log::warn!("{text}"),
    });
}

/// Something to say.
#[derive(Debug, PartialEq, Eq)]
enum Line {
    Note(String),
    Warning(String),
}

fn lines(found: &Found, settings: &Settings) -> Vec<Line> {
    let mut lines = Vec::new();
    let (documents, talks) = (found.documents, found.conversations);
    if documents + talks > 1 {
        lines.push(Line::Note(format!("{documents} documents, {talks} conversations")));
    }
    if !found.special.is_empty() {
        let all = list(&found.special, "times");
        lines.push(Line::Note(format!("special tokens in the text: {all}")));
    }
    if !found.as_text.is_empty() {
        let all = list(&found.as_text, "times");
        let remedy = match settings.special {
            Some(_) => "",
            None => {
                "; --special parses them as special tokens, --no-special confirms that they are text"
            }
        };
        let text =
            format!("names of special tokens in the text are treated as plain text: {all}{remedy}");
        let asked = settings.special == Some(false);
        lines.push(if asked { Line::Note(text) } else { Line::Warning(text) });
    }
    if !found.unknown.is_empty() {
        let all = list(&found.unknown, "times");
        lines.push(Line::Warning(format!("fields of JSON lines that are not used: {all}")));
    }
    let mut warn = |count: usize, text: &str| {
        if count > 0 {
            lines.push(Line::Warning(format!("{count} {text}")));
        }
    };
    warn(found.empty, "JSON lines have no text or no answer, and are skipped");
    warn(
        found.endless,
        "answers do not end with an end-of-text token, so the model cannot learn to stop there: the chat \
         template writes none",
    );
    warn(
        found.unparted,
        "documents follow each other without a token between them: the tokenizer has no end-of-text \
         token",
    );
    if settings.special.is_some() && documents + talks == 0 {
        let name = if settings.special == Some(true) { "--special" } else { "--no-special" };
        let text = format!("{name} has no effect: it is for text, and the data is token ids");
        lines.push(Line::Warning(text));
    }
    if settings.loss_on.is_some() && talks == 0 {
        let text = "--loss-on has no effect: it is for conversations, and the data has none";
        lines.push(Line::Warning(text.to_owned()));
    }
    lines
}

/// Names with their counts.
fn list(counts: &BTreeMap<String, usize>, times: &str) -> String {
    let all: Vec<String> =
        counts.iter().map(|(name, count)| format!("{name} ({count} {times})")).collect();
    all.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_finding_is_said_once() {
        let settings = Settings::default();
        assert_eq!(lines(&Found { documents: 1, ..Found::default() }, &settings), []);
        let all = Found {
            documents: 3,
            special: [("<|endoftext|>".to_owned(), 2)].into(),
            as_text: [("<s>".to_owned(), 4)].into(),
            unparted: 1,
            ..Found::default()
        };
        let said = lines(&all, &settings);
        assert_eq!(said[0], Line::Note("3 documents, 0 conversations".to_owned()));
        let special = "special tokens in the text: <|endoftext|> (2 times)";
        assert_eq!(said[1], Line::Note(special.to_owned()));
        assert!(
            matches!(&said[2], Line::Warning(text) if text.contains("<s> (4 times); --special"))
        );
        assert!(matches!(&said[3], Line::Warning(text) if text.starts_with("1 documents follow")));
        let asked = Settings { special: Some(false), ..Settings::default() };
        let ids = lines(&Found::default(), &asked);
        assert_eq!(ids.len(), 1);
        assert!(
            matches!(&ids[0], Line::Warning(text) if text.starts_with("--no-special has no effect"))
        );
        assert!(matches!(&lines(&all, &asked)[2], Line::Note(text) if text.ends_with("(4 times)")));
    }
}
