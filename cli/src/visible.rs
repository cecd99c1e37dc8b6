//! Text of others on a terminal: files, the Hub and models may contain sequences that a terminal
//! obeys. They are shown and not sent.

use std::borrow::Cow;

/// A text whose control characters are escaped as Rust writes them, except the ends of lines and tabs.
pub(crate) fn text(text: &str) -> Cow<'_, str> {
    escaped(text, |c| c.is_control() && !matches!(c, '\n' | '\t'))
}

/// A message: as [`text`], without what reorders or hides the characters around it.
pub(crate) fn message(message: &str) -> Cow<'_, str> {
    let reorders = |c| matches!(c, '\u{61c}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}');
    let hides = |c| matches!(c, '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{e0000}'..='\u{e007f}');
    escaped(message, |c| (c.is_control() && !matches!(c, '\n' | '\t')) || reorders(c) || hides(c))
}

/// A name in a table: as [`message`], and on one line.
pub(crate) fn name(name: &str) -> Cow<'_, str> {
    match message(name) {
        shown if shown.contains(['\n', '\t']) => {
            shown.replace('\n', "\\n").replace('\t', "\\t").into()
        }
        shown => shown,
    }
}

/// JSON whose text holds no control characters: those that JSON does not demand to be escaped are
/// in strings only, and mean the same there.
pub(crate) fn json(json: &str) -> Cow<'_, str> {
    let is_left = |c: char| c.is_control();
    if !json.contains(is_left) {
        return json.into();
    }
    let escape = |c: char| match is_left(c) {
        true => format!("\\u{:04x}", u32::from(c)),
        false => c.to_string(),
    };
    json.chars().map(escape).collect::<String>().into()
}

fn escaped(text: &str, is_escaped: impl Fn(char) -> bool) -> Cow<'_, str> {
    if !text.contains(&is_escaped) {
        return text.into();
    }
    let mut out = String::with_capacity(text.len() + 16);
    for c in text.chars() {
        match c {
            c if !is_escaped(c) => out.push(c),
            '\r' => out.push_str("\\r"),
            c => out.extend(c.escape_unicode()),
        }
    }
    out.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn control_sequences_are_shown() {
        assert_eq!(text("a\tb\nc d"), "a\tb\nc d");
        let title = "\x1b]0;owned\x07 \x1b[2J \u{9b}31m \x7f\r\0";
        let shown = "\\u{1b}]0;owned\\u{7} \\u{1b}[2J \\u{9b}31m \\u{7f}\\r\\u{0}";
        assert_eq!(text(title), shown);
        assert_eq!(message(title), shown);
        let turned = "safe\u{202e}txt.exe \u{200b}\u{feff}";
        assert_eq!(text(turned), turned);
        assert_eq!(message(turned), "safe\\u{202e}txt.exe \\u{200b}\\u{feff}");
        assert_eq!(name("a\nb\tc\x1b[2J"), "a\\nb\\tc\\u{1b}[2J");
        assert_eq!(message("Größe 文字 🙂"), "Größe 文字 🙂");
    }

    #[test]
    fn json_stays_the_same_value() {
        let value = serde_json::json!({"\u{9b}a": "x\x1b[0m\x7f\u{9d}0;t\u{9c} ö"});
        let text = serde_json::to_string(&value).unwrap();
        assert!(text.contains('\u{9b}'));
        let shown = json(&text);
        assert!(!shown.chars().any(char::is_control), "{shown:?}");
        assert_eq!(serde_json::from_str::<serde_json::Value>(&shown).unwrap(), value);
    }
}
