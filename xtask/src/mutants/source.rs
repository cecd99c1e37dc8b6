//! Where the functions of a Rust source are.

use std::ops::Range;

/// The bodies of a text's functions with their braces, in the order in which they begin.
///
/// Not a parser: it knows comments, strings and characters, and takes for a body the first block after
/// `fn` that is in no parentheses.
pub(super) fn bodies(text: &str) -> Vec<Range<usize>> {
    let code = blanked(text);
    let bytes = code.as_bytes();
    let mut found = Vec::new();
    for (at, _) in code.match_indices("fn ") {
        let begins = at == 0 || !(bytes[at - 1].is_ascii_alphanumeric() || bytes[at - 1] == b'_');
        if let (true, Some(start)) = (begins, opening(bytes, at))
            && let Some(end) = closing(bytes, start)
        {
            found.push(start..end);
        }
    }
    found
}

/// The brace that opens the body of the function whose `fn` is at a place; `None` if it has none.
fn opening(bytes: &[u8], at: usize) -> Option<usize> {
    let mut depth = 0_usize;
    for (place, byte) in bytes.iter().enumerate().skip(at) {
        match byte {
            b'(' | b'[' => depth += 1,
            b')' | b']' => depth = depth.checked_sub(1)?,
            b';' if depth == 0 => return None,
            b'{' if depth == 0 => return Some(place),
            _ => {}
        }
    }
    None
}

/// The end of the block that begins at a place.
fn closing(bytes: &[u8], start: usize) -> Option<usize> {
    let mut depth = 0_usize;
    for (place, byte) in bytes.iter().enumerate().skip(start) {
        match byte {
            b'{' => depth += 1,
            b'}' if depth == 1 => return Some(place + 1),
            b'}' => depth -= 1,
            _ => {}
        }
    }
    None
}

/// The text with blanks in place of comments, strings and characters, byte for byte.
fn blanked(text: &str) -> String {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let length = literal(rest);
        let blank = length > 0;
        let length = if blank { length } else { first.len_utf8() };
        let (part, after) = rest.split_at(length);
        out.extend(part.bytes().map(|byte| if blank && byte != b'\n' { b' ' } else { byte }));
        rest = after;
    }
    // Whole literals were replaced by blanks, and whole characters kept.
    String::from_utf8_lossy(&out).into_owned()
}

/// The bytes of the comment, string or character that a text begins with; 0 if it begins with none.
fn literal(text: &str) -> usize {
    let to = |end: &str, skip: usize| {
        text[skip..].find(end).map_or(text.len(), |at| skip + at + end.len())
    };
    if text.starts_with("//") {
        return text.find('\n').unwrap_or(text.len());
    }
    if text.starts_with("/*") {
        return to("*/", 2);
    }
    if let Some(raw) = text.strip_prefix('r') {
        let marks = raw.len() - raw.trim_start_matches('#').len();
        if raw[marks..].starts_with('"') {
            return to(&format!("\"{}", "#".repeat(marks)), marks + 2);
        }
    }
    match text.chars().next() {
        Some('"') => quoted(text, '"'),
        // A lifetime has no second quote after one character.
        Some('\'') if text[1..].starts_with('\\') => quoted(text, '\''),
        Some('\'') => {
            let inner = text[1..].chars().next().map_or(0, char::len_utf8);
            if text[1 + inner..].starts_with('\'') { inner + 2 } else { 0 }
        }
        _ => 0,
    }
}

/// The bytes of a literal up to the quote that is not escaped.
fn quoted(text: &str, quote: char) -> usize {
    let mut escaped = false;
    for (at, letter) in text.char_indices().skip(1) {
        match letter {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            _ if letter == quote => return at + letter.len_utf8(),
            _ => {}
        }
    }
    text.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(text: &str) -> Vec<&str> {
        bodies(text).into_iter().map(|body| &text[body]).collect()
    }

    #[test]
    fn bodies_are_found() {
        assert_eq!(found("trait A { fn a(&self); }\nfn b(x: [u8; 2]) -> B { c }"), ["{ c }"]);
        assert_eq!(found("fn a() { fn b() { 1 } b() }"), ["{ fn b() { 1 } b() }", "{ 1 }"]);
        assert_eq!(found("const f: fn (u8) = g; mod x { }"), Vec::<&str>::new());
        assert_eq!(found("my_fn { } // fn a() {}\n\"fn b() {}\""), Vec::<&str>::new());
    }

    #[test]
    fn braces_in_literals_are_none() {
        for literal in
            ["\"}\"", "'}'", "'\\''", "\"\\\"}\"", "r#\"}\"#", "// }\n", "/* } */", "&'a x"]
        {
            let text = format!("fn a() {{ {literal} }} x");
            assert_eq!(found(&text), [text[7..text.len() - 2].to_owned()], "{literal}");
        }
    }
}
