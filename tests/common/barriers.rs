//! A rule of WGSL that no run on one adapter can hold: the order in which it happens to work may hide
//! a race.

/// The functions that wait at a barrier, but not once more just before they return. If one is called
/// again, an invocation overwrites what another still reads of the call before.
pub(crate) fn without_last_barrier(source: &str) -> Vec<&str> {
    let functions = source.split("\nfn ").skip(1);
    let wrong = functions.filter(|function| {
        let body = function.split("\n}").next().unwrap_or_default();
        let mut lines = body.lines().rev().map(str::trim);
        let ends = [lines.next(), lines.next()].map(Option::unwrap_or_default);
        // What is returned must have been read before.
        let plain = |text: &str| text.bytes().all(|byte| byte.is_ascii_alphanumeric());
        let value = ends[0].strip_prefix("return ").and_then(|text| text.strip_suffix(';'));
        body.contains("workgroupBarrier()")
            && !(value.is_some_and(plain) && ends[1] == "workgroupBarrier();")
    });
    wrong.map(|function| function.split('(').next().unwrap_or_default()).collect()
}

/// Whether a part is called several times by one invocation, each time with workgroup memory.
pub(crate) fn is_called_again(part: &str) -> bool {
    part.starts_with("lanes_") || part.starts_with("reduce_")
}
