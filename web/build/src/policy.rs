//! What the page may do: its Content-Security-Policy.
//!
//! The page itself states it, so that it holds on any file server. Ours sends it too, as a header,
//! since a worker has the policy that came with its own script.

const PAGE: &str = include_str!("../../page/index.html");

/// What comes before the policy in the page, and after it.
const MARKS: [&str; 2] = ["<meta http-equiv=\"Content-Security-Policy\" content=\"", "\">"];

/// The policy that the page states, and what only a header can say: nobody may frame it.
pub(crate) fn header() -> Result<String, String> {
    let stated = stated(PAGE).ok_or("index.html states no Content-Security-Policy")?;
    Ok(format!("{stated}; frame-ancestors 'none'"))
}

fn stated(page: &str) -> Option<&str> {
    let (_, after) = page.split_once(MARKS[0])?;
    Some(after.split_once(MARKS[1])?.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// No script but those of the page's own folder: nothing inline, nothing that makes code of text.
    #[test]
    fn the_page_states_a_policy_that_it_keeps() {
        let policy = header().unwrap();
        let directives: Vec<&str> = policy.split("; ").collect();
        for needed in
            ["default-src 'none'", "script-src 'self' 'wasm-unsafe-eval'", "base-uri 'none'"]
        {
            assert!(directives.contains(&needed), "{policy}");
        }
        assert!(
            !policy.contains("'unsafe-inline'") && !policy.contains("'unsafe-eval'"),
            "{policy}"
        );
        // It holds for what comes after it.
        assert!(PAGE.find(MARKS[0]).unwrap() < PAGE.find("<link").unwrap());
        for (at, _) in PAGE.match_indices("<script") {
            let script = PAGE[at..].split("</script>").next().unwrap();
            assert!(script.ends_with('>') && script.contains(" src=\""), "{script}");
        }
        assert!(!PAGE.contains(" style=\"") && !PAGE.contains(" onclick=\""));
        assert_eq!(stated("<meta charset=\"utf-8\">"), None);
    }
}
