//! How people spell the names of hooks: TransformerLens's classic names, those of its version 4,
//! interp-engine's addresses, short forms, and globs over the classic names.
//!
//! Only the classic names are printed. In a short form the layer follows the name, `pattern.5`, and may
//! count from the end, `resid_post.-1`.

use std::str::FromStr;

use crate::error::Error;

use super::points::{Hook, Point};

/// The other spellings of a point's name.
struct Spelling {
    point: Point,
    /// In TransformerLens 4; for a point inside the layers, the part after `blocks.N.`.
    version4: &'static [&'static str],
    /// Before the layer in an address: interp-engine's first.
    short: &'static [&'static str],
}

const fn spelling(
    point: Point,
    version4: &'static [&'static str],
    short: &'static [&'static str],
) -> Spelling {
    Spelling { point, version4, short }
}

/// Where two points share a spelling, a model has only one of them, or the first counts.
#[rustfmt::skip]
const SPELLINGS: &[Spelling] = &[
    spelling(Point::Embed, &["embed.hook_out"], &["embed"]),
    spelling(Point::PosEmbed, &["pos_embed.hook_out"], &["pos_embed"]),
    spelling(Point::ResidPre, &["hook_in"], &["resid_pre"]),
    spelling(Point::AttnIn, &["ln1.hook_in"], &["attn_in"]),
    spelling(Point::QInput, &[], &["q_input"]),
    spelling(Point::KInput, &[], &["k_input"]),
    spelling(Point::VInput, &[], &["v_input"]),
    spelling(Point::Ln1Scale, &[], &["ln1_scale", "ln1.scale"]),
    spelling(Point::Ln1Normalized, &[], &["ln1_normalized", "ln1.normalized"]),
    spelling(Point::Q, &["attn.q.hook_out", "attn.q_norm.hook_in"], &["q_norm_in", "q"]),
    spelling(Point::K, &["attn.k.hook_out", "attn.k_norm.hook_in"], &["k_norm_in", "k"]),
    spelling(Point::V, &["attn.v.hook_out"], &["value", "v"]),
    spelling(Point::QNormed, &[], &["q_norm_out", "q_normed"]),
    spelling(Point::KNormed, &[], &["k_norm_out", "k_normed"]),
    spelling(Point::RotQ, &[], &["rot_q"]),
    spelling(Point::RotK, &[], &["rot_k"]),
    spelling(Point::AttnScores, &[], &["attn_scores", "scores"]),
    spelling(Point::Pattern, &[], &["attn_probs", "pattern"]),
    spelling(Point::Z, &["attn.o.hook_in"], &["z"]),
    spelling(Point::Result, &[], &["result"]),
    spelling(Point::AttnBeforeNorm, &["attn.o.hook_out", "ln1_post.hook_in"], &["attn_out_raw"]),
    spelling(Point::Ln1PostScale, &[], &["ln1_post_scale", "ln1_post.scale"]),
    spelling(Point::Ln1PostNormalized, &[], &["ln1_post_normalized", "ln1_post.normalized"]),
    spelling(Point::AttnOut, &["attn.hook_out", "ln1_post.hook_out"], &["attn_out_post", "attn_out"]),
    spelling(Point::ResidMid, &["ln2.hook_in"], &["resid_mid"]),
    spelling(Point::MlpIn, &[], &["mlp_in"]),
    spelling(Point::Ln2Scale, &[], &["ln2_scale", "ln2.scale"]),
    spelling(Point::Ln2Normalized, &[], &["ln2_normalized", "ln2.normalized"]),
    spelling(Point::MlpPre, &["mlp.in.hook_out", "mlp.gate.hook_out"], &["mlp_pre", "pre"]),
    spelling(Point::MlpPreLinear, &["mlp.in.hook_out"], &["mlp_pre_linear", "pre_linear"]),
    spelling(Point::MlpPost, &["mlp.out.hook_in"], &["mlp_act", "mlp_post", "post"]),
    spelling(Point::MlpBeforeNorm, &["mlp.out.hook_out", "ln2_post.hook_in"], &["mlp_out_raw"]),
    spelling(Point::Ln2PostScale, &[], &["ln2_post_scale", "ln2_post.scale"]),
    spelling(Point::Ln2PostNormalized, &[], &["ln2_post_normalized", "ln2_post.normalized"]),
    spelling(Point::MlpOut, &["mlp.hook_out", "ln2_post.hook_out"], &["mlp_out_post", "mlp_out"]),
    spelling(Point::ResidPost, &["hook_out"], &["resid_post"]),
    spelling(Point::LnFinalScale, &[], &["ln_final_scale", "ln_final.scale"]),
    spelling(Point::LnFinalNormalized, &[], &["ln_final_normalized", "ln_final.normalized"]),
];

impl Hook {
    /// The hooks that a name may mean in a model with this many layers, in the order of the forward
    /// pass: those of a classic name first, then those of other spellings; for a glob, all that
    /// match. Whether the model has them is not checked.
    pub fn spelled(text: &str, layers: usize) -> Vec<Self> {
        if text.contains(['*', '?']) {
            let all = Self::all(layers).into_iter();
            return all.filter(|hook| matches(text, &hook.to_string())).collect();
        }
        let mut found: Vec<Self> = text.parse().into_iter().collect();
        let spelled = |names: &[&str], name: &str| names.contains(&name);
        for Spelling { point, version4, short } in SPELLINGS {
            let hook = match block(text) {
                Some((layer, name)) if point.in_layer() && spelled(version4, name) => {
                    Some(point.at(layer))
                }
                None if !point.in_layer() && (spelled(version4, text) || spelled(short, text)) => {
                    Some(point.at(0))
                }
                None if point.in_layer() => text
                    .rsplit_once('.')
                    .filter(|(name, _)| spelled(short, name))
                    .and_then(|(_, layer)| counted(layer, layers))
                    .map(|layer| point.at(layer)),
                _ => None,
            };
            found.extend(hook.filter(|hook| !found.contains(hook)));
        }
        found
    }

    /// The other spellings of its name.
    pub fn aliases(self) -> Vec<String> {
        let own = SPELLINGS.iter().find(|spelling| spelling.point == self.point());
        let Some(Spelling { version4, short, .. }) = own else { return Vec::new() };
        match self.layer() {
            None => version4.iter().chain(*short).map(|name| (*name).to_owned()).collect(),
            Some(layer) => {
                let version4 = version4.iter().map(|name| format!("blocks.{layer}.{name}"));
                version4.chain(short.iter().map(|name| format!("{name}.{layer}"))).collect()
            }
        }
    }

    /// The three classic names, of those that a model has, with the fewest edits from a text or from
    /// an alias.
    pub fn nearest(text: &str, hooks: &[Self]) -> Vec<String> {
        let far = |hook: &Self| {
            let aliases = hook.aliases().into_iter().chain([hook.to_string()]);
            aliases.map(|name| distance(&name, text)).min().unwrap_or(usize::MAX)
        };
        let mut hooks: Vec<Self> = hooks.to_vec();
        hooks.sort_by_cached_key(far);
        hooks.truncate(3);
        hooks.iter().map(Self::to_string).collect()
    }
}

impl FromStr for Hook {
    type Err = Error;

    /// Reads a classic name.
    fn from_str(text: &str) -> Result<Self, Error> {
        let (layer, name) = match block(text) {
            Some((layer, name)) => (Some(layer), name),
            None => (None, text),
        };
        let known = |point: &Point| point.name() == name && point.in_layer() == layer.is_some();
        let found = Point::all().find(known).map(|point| point.at(layer.unwrap_or(0)));
        found.ok_or_else(|| {
            let layer = layer.unwrap_or(0);
            let hooks: Vec<Self> = Point::all().map(|point| point.at(layer)).collect();
            let nearest = Self::nearest(text, &hooks).join(", ");
            Error::Input(format!("no hook is named {text}; the nearest are {nearest}"))
        })
    }
}

/// The layer and the name of `blocks.5.name`.
fn block(text: &str) -> Option<(usize, &str)> {
    let (layer, name) = text.strip_prefix("blocks.")?.split_once('.')?;
    Some((layer.parse().ok()?, name))
}

/// A layer, which may be counted from the end as -1, -2 and so on.
fn counted(text: &str, layers: usize) -> Option<usize> {
    match text.strip_prefix('-') {
        Some(back) => layers.checked_sub(back.parse().ok().filter(|back| *back > 0)?),
        None => text.parse().ok(),
    }
}

/// Whether a name is of this form, in which `*` stands for any characters and `?` for one.
fn matches(glob: &str, name: &str) -> bool {
    let (glob, name) = (glob.as_bytes(), name.as_bytes());
    let (mut g, mut n, mut star) = (0, 0, None);
    while n < name.len() {
        match glob.get(g) {
            Some(b'*') => {
                star = Some((g, n));
                g += 1;
            }
            Some(byte) if *byte == b'?' || *byte == name[n] => (g, n) = (g + 1, n + 1),
            // The latest `*` takes one character more.
            _ => match &mut star {
                Some((at, from)) => {
                    *from += 1;
                    (g, n) = (*at + 1, *from);
                }
                None => return false,
            },
        }
    }
    glob[g..].iter().all(|byte| *byte == b'*')
}

/// The Levenshtein distance, for suggestions.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().take(80).collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, y) in b.iter().enumerate() {
            let substituted = diagonal + usize::from(x != *y);
            diagonal = row[j + 1];
            row[j + 1] = substituted.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn classic_names_and_all_aliases_read_back() {
        for hook in Hook::all(3) {
            assert_eq!(hook.to_string().parse::<Hook>().unwrap(), hook, "{hook}");
            for name in hook.aliases().into_iter().chain([hook.to_string()]) {
                assert!(Hook::spelled(&name, 3).contains(&hook), "{name} for {hook}");
            }
        }
        let points: Vec<Point> = SPELLINGS.iter().map(|spelling| spelling.point).collect();
        assert_eq!(points, Point::all().collect::<Vec<_>>(), "every point, in the same order");
        for wrong in ["attn.hook_q", "blocks.0.hook_embed", "blocks.x.attn.hook_q"] {
            assert!(wrong.parse::<Hook>().is_err(), "{wrong}");
            assert_eq!(Hook::spelled(wrong, 3), [], "{wrong}");
        }
    }

    #[test]
    fn layers_count_from_either_end() {
        assert_eq!(Hook::spelled("resid_post.-1", 3), [Hook::ResidPost(2)]);
        assert_eq!(Hook::spelled("resid_post.-3", 3), [Hook::ResidPost(0)]);
        assert_eq!(Hook::spelled("pattern.1", 3), [Hook::Pattern(1)]);
        assert_eq!(Hook::spelled("blocks.1.hook_out", 3), [Hook::ResidPost(1)]);
        assert_eq!(Hook::spelled("embed", 3), [Hook::Embed]);
        for wrong in ["resid_post.-4", "resid_post.-0", "resid_post", "resid_post.x", ""] {
            assert_eq!(Hook::spelled(wrong, 3), [], "{wrong}");
        }
    }

    #[test]
    fn globs_match_classic_names() {
        let all: Vec<Hook> = (0..3).map(Hook::ResidPost).collect();
        assert_eq!(Hook::spelled("blocks.*.hook_resid_post", 3), all);
        assert_eq!(Hook::spelled("blocks.?.attn.hook_z", 2), [Hook::Z(0), Hook::Z(1)]);
        assert_eq!(Hook::spelled("*", 2), Hook::all(2));
        assert_eq!(Hook::spelled("*.hook_zz*", 2), []);
        for (glob, name, expected) in [
            ("a*b*c", "aXbYbZc", true),
            ("a*b*c", "aXbYbZ", false),
            ("**", "", true),
            ("a?c", "ac", false),
            ("*a", "aab", false),
        ] {
            assert_eq!(matches(glob, name), expected, "{glob} {name}");
        }
    }

    #[test]
    fn an_unknown_hook_lists_the_nearest_names() {
        let error = "blocks.2.attn.hook_patern".parse::<Hook>().unwrap_err().to_string();
        assert!(error.contains("blocks.2.attn.hook_pattern"), "{error}");
        let near = Hook::nearest("resid_pst.1", &Hook::all(2));
        assert_eq!(near[0], "blocks.1.hook_resid_post");
    }
}
