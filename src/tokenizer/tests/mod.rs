//! GPT-2's real vocabulary compared with known encodings, and the other sources of tokenizers.

mod alias;
mod chat;
mod damage;
mod documents;
mod folders;
mod gguf;
mod harm;
mod json;
mod pieces;

use std::path::PathBuf;
use std::sync::LazyLock;

use super::{Encode, Special, Tokenizer};

/// Text and ids, from another implementation of the same vocabulary.
const ENCODED: &[(&str, &[u32])] = &[
    ("Hello world", &[15496, 995]),
    ("Hello, world!", &[15496, 11, 995, 0]),
    (
        "I'm you're he'd we'll they've it's can't",
        &[40, 1101, 345, 821, 339, 1549, 356, 1183, 484, 1053, 340, 338, 460, 470],
    ),
    ("I'M IT'S", &[40, 6, 44, 7283, 6, 50]),
    ("don\u{2019}t", &[9099, 447, 247, 83]),
    ("It 's", &[1026, 705, 82]),
    ("_'s", &[62, 6, 82]),
    ("''s", &[7061, 82]),
    ("a  b", &[64, 220, 275]),
    ("a   b", &[64, 220, 220, 275]),
    ("a  ", &[64, 220, 220]),
    ("\n\n", &[628]),
    ("a\n\nb", &[64, 198, 198, 65]),
    ("a \n b", &[64, 220, 198, 275]),
    ("x \n\n  y", &[87, 220, 628, 220, 331]),
    ("a\t\tb", &[64, 197, 197, 65]),
    ("a\r\nb", &[64, 201, 198, 65]),
    ("    return x\n", &[220, 220, 220, 1441, 2124, 198]),
    ("1234567", &[10163, 2231, 3134]),
    ("¹²³", &[126, 117, 31185, 126, 111]),
    ("\u{e9}", &[2634]),
    ("e\u{301}", &[68, 136, 223]),
    ("日本語", &[33768, 98, 17312, 105, 45739, 252]),
    ("🤗 hi", &[8582, 97, 245, 23105]),
    ("हिन्दी", &[11976, 117, 11976, 123, 11976, 101, 24231, 235, 11976, 99, 24231, 222]),
    ("\u{a0}a", &[1849, 64]),
    ("\u{200b}a", &[9525, 64]),
    ("\u{feff}a", &[171, 119, 123, 64]),
    ("a\u{1c}b", &[64, 216, 65]),
    ("y'all'd've", &[88, 6, 439, 1549, 1053]),
    (" SolidGoldMagikarp", &[43453]),
    ("<|endoftext|>", &[27, 91, 437, 1659, 5239, 91, 29]),
    ("aaaaaaaaaa", &[24794, 24794, 7252]),
    ("##", &[2235]),
    ("", &[]),
];

/// Ids and text, where the ids are not whole characters.
const DECODED: &[(&[u32], &str)] = &[
    (&[447], "\u{fffd}"),
    (&[447, 247], "\u{2019}"),
    (&[8582, 97], "\u{fffd}"),
    (&[187, 187], "\u{fffd}\u{fffd}"),
    (&[447, 64], "\u{fffd}a"),
    (&[39820], "龍\u{fffd}"),
    (&[188], "\0"),
    (&[50256], "<|endoftext|>"),
    (&[50257, 64, u32::MAX], "a"),
    (&[], ""),
];

/// GPT-2's own tokenizer.
fn gpt2() -> &'static Tokenizer {
    static GPT2: LazyLock<Tokenizer> = LazyLock::new(|| {
        let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("target/models/gpt2-tokenizer");
        match Tokenizer::from_folder(&folder) {
            Ok(Some(tokenizer)) => tokenizer,
            Ok(None) => panic!("{} is missing: run `cargo xtask models` first", folder.display()),
            Err(error) => panic!("{error}: run `cargo xtask models` to fetch the file again"),
        }
    });
    &GPT2
}

/// The ids of `text` under the default options.
fn ids(tokenizer: &Tokenizer, text: &str) -> Vec<u32> {
    tokenizer.encode(text, Encode::default()).unwrap()
}

/// A small deterministic source of numbers below `bound`.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        (self.0 >> 33) as usize % bound
    }
}

#[test]
fn gpt2_encodes_as_others_do() {
    for (text, expected) in ENCODED {
        assert_eq!(ids(gpt2(), text), *expected, "{text:?}");
        assert_eq!(gpt2().decode(expected), *text);
    }
}

#[test]
fn gpt2_decodes_as_others_do() {
    for (ids, text) in DECODED {
        assert_eq!(gpt2().decode(ids), *text, "{ids:?}");
    }
}

#[test]
fn gpt2_spells_every_byte() {
    for byte in 0..=255u8 {
        let id = match byte {
            33..=126 => u32::from(byte) - 33,
            161..=172 => u32::from(byte) - 67,
            173 => 255,
            174..=255 => u32::from(byte) - 68,
            0..=32 => 188 + u32::from(byte),
            127..=160 => 94 + u32::from(byte),
        };
        assert_eq!(gpt2().token_bytes(id), Some(vec![byte]));
    }
    assert_eq!(gpt2().vocab_size(), 50257);
    assert_eq!(gpt2().token(995).as_deref(), Some("Ġworld"));
    assert_eq!(gpt2().id("Ġworld"), Some(995));
    assert_eq!(gpt2().token_bytes(995), Some(b" world".to_vec()));
    assert_eq!((gpt2().token_bytes(50257), gpt2().token(50257), gpt2().id("")), (None, None, None));
    assert!(gpt2().opening().is_empty());
}

#[test]
fn special_tokens_are_text_unless_asked_for() {
    let options = Encode { special: Special::Recognize, ..Encode::default() };
    let found = gpt2().encode("a<|endoftext|>b", options).unwrap();
    assert_eq!(found, [64, 50256, 65]);
    let plain = ids(gpt2(), "a<|endoftext|>b");
    assert!(!plain.contains(&50256));
    assert_eq!(gpt2().decode(&plain), gpt2().decode(&found));
}

#[test]
fn streams_give_what_decode_gives() {
    let mut dice = Dice(1);
    for _ in 0..200 {
        // Ids below 256 are single bytes, so that characters break in every way.
        let ids: Vec<u32> = (0..40)
            .map(|_| if dice.roll(4) > 0 { dice.roll(256) } else { dice.roll(50300) } as u32)
            .collect();
        let mut stream = gpt2().stream();
        let mut text: String = ids.iter().map(|&id| stream.push(id)).collect();
        text.push_str(&stream.finish());
        let bytes: Vec<u8> =
            ids.iter().filter_map(|&id| gpt2().token_bytes(id)).flatten().collect();
        assert_eq!(text, String::from_utf8_lossy(&bytes));
        assert_eq!(text, gpt2().decode(&ids));
    }
}

#[test]
fn streams_hold_back_parts_of_characters_only() {
    let mut stream = gpt2().stream();
    let pieces = [8582, 97, 245, 23105, 447].map(|id| stream.push(id));
    assert_eq!(pieces, ["", "", "🤗", " hi", ""]);
    assert_eq!(stream.finish(), "\u{fffd}");
    assert_eq!(stream.finish(), "");
}

#[test]
fn any_text_comes_back() {
    let mut dice = Dice(2);
    let signs = ["'s", "'LL", "  ", "\n", "\r\n", "\u{a0}", "\0", "9", "½", "_", "é", "e\u{301}"];
    for _ in 0..300 {
        let text: String = (0..60)
            .map(|_| match dice.roll(3) {
                0 => signs[dice.roll(signs.len())].to_owned(),
                1 => char::from(dice.roll(128) as u8).to_string(),
                _ => char::from_u32(dice.roll(0x11_0000) as u32).unwrap_or('x').to_string(),
            })
            .collect();
        assert_eq!(gpt2().decode(&ids(gpt2(), &text)), text);
    }
}

#[test]
fn a_megabyte_of_one_class_encodes() {
    const LENGTH: usize = 1 << 20;
    let mut dice = Dice(3);
    let base64: String = (0..LENGTH).map(|_| char::from(b"AZaz09+/"[dice.roll(8)])).collect();
    let letters: String = (0..LENGTH).map(|_| char::from(b'a' + dice.roll(26) as u8)).collect();
    let spaces = " ".repeat(LENGTH);
    for text in [
        "a".repeat(LENGTH),
        "=".repeat(LENGTH),
        "7".repeat(LENGTH),
        "\n".repeat(LENGTH),
        "語".repeat(LENGTH / 3),
        format!("{spaces}x"),
        spaces,
        base64,
        letters,
    ] {
        assert_eq!(gpt2().decode(&ids(gpt2(), &text)), text);
    }
    // The run without its last space is separate from the word.
    let found = ids(gpt2(), &format!("{}x", " ".repeat(LENGTH)));
    assert_eq!(found.last(), Some(&2124));
}
