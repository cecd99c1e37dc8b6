//! What dependencies must be: under licenses that suit, from known sources, without known faults. The
//! list is `deny.toml`.

use crate::shell;
use crate::tally::Tally;

/// What `cargo deny` says where it cannot have the list of known faults.
const NO_LIST: &str = "failed to fetch advisory database";

/// Checks all dependencies. Without the program nothing is checked, and without a network not the list
/// of known faults; a line says so.
pub(crate) fn check(tally: &mut Tally) -> Result<(), String> {
    if !shell::succeeds(&mut shell::cargo(&["deny", "--version"])) {
        tally.skip("cargo deny", "`cargo install --locked cargo-deny` installs it");
        return Ok(());
    }
    shell::quiet(&mut shell::cargo(&["deny", "check", "bans", "licenses", "sources"]))?;
    match known_faults(shell::quiet(&mut shell::cargo(&["deny", "check", "advisories"])))? {
        Some(why) => tally.skip("cargo deny check advisories", why),
        None => eprintln!("ci: licenses and sources are right, and no faults are known"),
    }
    Ok(())
}

/// What came of looking for known faults: why it was not possible, or that there are none.
fn known_faults(run: Result<(), String>) -> Result<Option<&'static str>, String> {
    match run {
        Err(told) if told.contains(NO_LIST) => {
            Ok(Some("the list of known faults cannot be fetched"))
        }
        run => run.map(|()| None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_missing_list_is_no_failure() {
        assert_eq!(known_faults(Ok(())), Ok(None));
        let found = "error[vulnerability]: a fault\nadvisories FAILED\n`cargo deny` failed";
        assert_eq!(known_faults(Err(found.to_owned())), Err(found.to_owned()));
        let away = "[ERROR] failed to fetch advisory database https://example.org: no host\n";
        assert!(known_faults(Err(away.to_owned())).is_ok_and(|told| told.is_some()));
    }
}
