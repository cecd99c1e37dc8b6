//! Characters that stand for others, and the parts of texts that they disguise.

use crate::tokenizer::alias::Aliases;
use crate::tokenizer::guard::{Guard, difference};

fn names(names: &[&str]) -> Vec<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

#[test]
fn a_guarded_text_spells_no_name_and_means_the_same() {
    let names = names(&["<end>", "<|x|>", "[A]", "eos"]);
    let aliases = Aliases::not_in([].into_iter()).unwrap();
    let guard = Guard::new(&names, aliases);
    for (text, changed) in [
        ("plain", 0),
        ("<end>", 1),
        ("a<end><end>[A]b", 3),
        // The end of one name and the beginning of another, at the edges of the text.
        ("nd> <|x", 2),
        ("  nd>  ", 1),
        ("x nd> <| x", 0),
        // Without a character that has an alias, a mark comes in.
        ("eos", 1),
        ("an eo", 1),
        ("s is", 1),
        ("", 0),
    ] {
        let found = guard.text(text);
        assert_eq!(aliases.plain(&found), text);
        assert!(names.iter().all(|name| !found.contains(name.as_str())), "{text}");
        let private = found.chars().filter(|char| u32::from(*char) >= 0xf_0000).count();
        assert_eq!(private, changed, "{text}");
        // Nor does what a template writes around it complete one, after it has trimmed the text.
        for name in &names {
            for cut in 1..name.len() {
                let (head, tail) = name.split_at(cut);
                assert!(!format!("{head}{}", found.trim()).contains(name), "{head} {text}");
                assert!(!format!("{}{tail}", found.trim()).contains(name), "{text} {tail}");
            }
        }
    }
}

#[test]
fn aliases_remain_in_names_only() {
    let names = names(&["<end>", "eos"]);
    let aliases = Aliases::not_in([].into_iter()).unwrap();
    let guard = Guard::new(&names, aliases);
    let private = |text: &str| text.chars().filter(|char| u32::from(*char) >= 0xf_0000).count();
    for (text, left) in
        [("a<b>-c", 0), ("<end>", 2), ("x<END>-<end>", 4), ("<en<end>>", 2), ("", 0)]
    {
        let traced = guard.traced(text);
        assert!(!traced.contains(['<', '>', '-']));
        let spelled = guard.spelled(&traced);
        assert_eq!((private(&spelled), &*aliases.plain(&spelled)), (left, text));
    }
    // A name without such a character is told by a mark; one that the template writes has neither.
    let found = guard.spelled(&format!("<end>eos{}", guard.traced("eos <")));
    assert!(found.starts_with("<end>eose") && found.ends_with(" <") && private(&found) == 1);
}

#[test]
fn a_block_of_aliases_is_in_no_text() {
    let free = |text: &str| Aliases::not_in([text].into_iter()).unwrap().base();
    assert_eq!(free("<end>"), 0xf_0000);
    let next = free("\u{f0000}");
    assert!(next > 0xf_0000 && free("a\u{f0003}b") == next && free("\u{10fffd}") == 0xf_0000);
    let all: String = (0xf_0000..=0x10_fffd).filter_map(char::from_u32).collect();
    assert_eq!(Aliases::not_in([all.as_str()].into_iter()), None);
}

#[test]
fn texts_are_found_behind_aliases() {
    let names = names(&["</s>"]);
    let aliases = Aliases::not_in([].into_iter()).unwrap();
    let guard = Guard::new(&names, aliases);
    let text = guard.text("é</s>b</s>");
    let found = aliases.matches(&text, "</s>");
    assert_eq!(found.len(), 2);
    let cut: Vec<&str> = found.iter().map(|range| &text[range.clone()]).collect();
    assert_eq!(cut.concat(), format!("{}{}", guard.text("</s>"), guard.text("</s>")));
    assert_eq!(&text[..found[0].start], "é");
    assert_eq!(&text[found[0].end..found[1].start], "b");
    // What is looked for may have aliases itself.
    let found = aliases.matches("a</s>b", &guard.text("</s>"));
    assert_eq!((found.len(), found[0].clone()), (1, 1..5));
    assert!(aliases.matches(&text, "x").is_empty());
}

#[test]
fn every_character_that_may_be_in_a_name_can_have_an_alias() {
    let aliases = Aliases::not_in([].into_iter()).unwrap();
    let found = aliases.all("</s> a");
    assert_eq!(found.chars().filter(char::is_ascii).collect::<String>(), "s a");
    assert_eq!(
        (aliases.plain(&found).as_ref(), aliases.all("ab é")),
        ("</s> a", "ab é".to_owned())
    );
}

#[test]
fn texts_differ_between_their_common_ends() {
    for (text, other, expected) in [
        ("abc", "abc", 3..3),
        ("abXcd", "abYYcd", 2..3),
        ("aa", "aaa", 2..2),
        ("é1é", "é2é", 2..3),
        ("", "x", 0..0),
        ("x", "", 0..1),
    ] {
        assert_eq!(difference(text, other), expected, "{text} {other}");
    }
}

/// Around what differs the guarded form stays, so that names there are text, too.
#[test]
fn what_a_template_makes_otherwise_is_merged_into_the_guarded_form() {
    let names = ["</s>".to_owned(), "<|x|>".to_owned()];
    let aliases = Aliases::not_in(std::iter::empty()).unwrap();
    let guard = Guard::new(&names, aliases);
    let typed = "a</s>b<|x|>c";
    for (before, plain, guarded, after) in [
        ("<|x|>", "  ", " ", "</s>"),
        ("<|x|>", "</s>", "", "</s>"),
        ("", "", "", ""),
        ("<|x|>", "1</s>2", "3</s>4", "é"),
    ] {
        let whole = |middle: &str, typed: &str| format!("{before}{typed}{middle}{typed}{after}");
        let plain = whole(plain, typed);
        let merged = guard.merged(&plain, &whole(guarded, &guard.text(typed)));
        assert_eq!(aliases.plain(&merged), plain);
        let names = |text: &str| names.iter().map(|name| text.matches(&**name).count()).sum();
        let (found, own): (usize, usize) = (names(&merged), names(before) + names(after));
        assert_eq!(found, own, "{merged:?}");
    }
}
