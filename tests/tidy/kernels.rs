//! One name for shader, op, twin, case and test of each kernel.

use std::fs;

use super::{assert_none, files, root};

/// The op of each kernel that has another name than its op, until the registry says so itself.
const OF: [(&str, &str); 16] = [
    ("matvec", "linear"),
    ("matvec_shuffle", "linear"),
    ("matmul", "linear"),
    ("matmul_tiled", "linear"),
    ("attention_tiled", "attention"),
    ("attention_split", "attention"),
    ("attention_split_shuffle", "attention"),
    ("attention_merge", "attention"),
    ("layer_norm_backward", "norm_backward"),
    ("rms_norm_backward", "norm_backward"),
    ("linear_backward_x", "linear_backward_x"),
    ("linear_backward_x_tiled", "linear_backward_x"),
    ("linear_backward_w", "linear_backward_w"),
    ("linear_backward_w_tiled", "linear_backward_w"),
    ("attention_backward_q", "attention_backward"),
    ("attention_backward_kv", "attention_backward"),
];

/// A kernel of several ops, each of which has a test.
const SHARED: [&str; 1] = ["add_shares"];

/// File and struct of each op that has no file of its name yet.
const ELSEWHERE: [(&str, &str, &str); 36] = [
    ("pos_embed", "embed.rs", "PosEmbed"),
    ("layer_norm", "norm.rs", "LayerNorm"),
    ("rms_norm", "norm.rs", "RmsNorm"),
    ("head_norm", "rope.rs", "HeadNorm"),
    ("activate", "activation.rs", "Activate"),
    ("gated", "activation.rs", "Gated"),
    ("gather", "rows.rs", "Gather"),
    ("add", "rows.rs", "Add"),
    ("log_prob", "rows.rs", "LogProb"),
    ("layer_norm_center", "norm_steps.rs", "LayerNormCenter"),
    ("rms_scale", "norm_steps.rs", "RmsScale"),
    ("divide_rows", "norm_steps.rs", "DivideRows"),
    ("gain_bias", "norm_steps.rs", "GainBias"),
    ("cache_rows", "rows.rs", "CacheRows"),
    ("attention_scores", "pattern.rs", "AttentionScores"),
    ("softmax", "pattern.rs", "Softmax"),
    ("attention_mix", "pattern.rs", "AttentionMix"),
    ("attention_result", "heads.rs", "AttentionResult"),
    ("sum_heads", "heads.rs", "SumHeads"),
    ("scale_add", "rows.rs", "ScaleAdd"),
    ("embed_backward", "backward/embed.rs", "EmbedBackward"),
    ("norm_backward", "backward/norm.rs", "LayerNormBackward"),
    ("gain_backward", "backward/norm.rs", "GainBackward"),
    ("linear_backward_x", "backward/linear.rs", "MatmulBackwardX"),
    ("linear_backward_w", "backward/linear.rs", "MatmulBackwardW"),
    ("bias_backward", "backward/linear.rs", "BiasBackward"),
    ("rope_backward", "backward/rope.rs", "RopeBackward"),
    ("attention_backward", "backward/attention.rs", "AttentionBackward"),
    ("activate_backward", "backward/activation.rs", "ActivateBackward"),
    ("gated_backward", "backward/activation.rs", "GatedBackward"),
    ("cross_entropy", "backward/loss.rs", "CrossEntropy"),
    ("square_sum", "backward/optimizer.rs", "SquareSum"),
    ("clip", "backward/optimizer.rs", "Clip"),
    ("adam_w", "backward/optimizer.rs", "AdamW"),
    ("sgd", "backward/optimizer.rs", "Sgd"),
    ("cast_f16", "backward/optimizer.rs", "CastF16"),
];

/// A kernel as the registry names it.
struct Named {
    folder: String,
    kernel: String,
    op: String,
}

/// What stands between the next two quotes of a text, and what follows.
fn quoted(text: &str) -> Option<(&str, &str)> {
    text.split_once('"')?.1.split_once('"')
}

/// Every kernel of the registry: `"matvec" of "linear" needs ..` in a list that is named by its folder.
fn registry() -> Vec<Named> {
    let texts = files("src", "rs");
    let is_registry = |text: &&String| text.lines().any(|line| line == "kernels! {");
    let found: Vec<&String> = texts.iter().map(|(_, text)| text).filter(is_registry).collect();
    let [text] = found[..] else { panic!("{} files hold the kernels", found.len()) };
    let lines =
        text.lines().skip_while(|line| *line != "kernels! {").take_while(|line| *line != "}");
    let (mut folder, mut kernels) = (String::new(), Vec::new());
    for line in lines {
        let Some((name, rest)) = quoted(line) else { continue };
        if rest.starts_with(": [") {
            name.clone_into(&mut folder);
            continue;
        }
        let of = rest.trim_start().strip_prefix("of ").and_then(quoted).map(|(op, _)| op);
        let of = of.or_else(|| OF.iter().find(|(kernel, _)| *kernel == name).map(|(_, op)| *op));
        let (kernel, op) = (name.to_owned(), of.unwrap_or(name).to_owned());
        kernels.push(Named { folder: folder.clone(), kernel, op });
    }
    kernels
}

/// `attention_mix` as a type's name.
fn camel(name: &str) -> String {
    let word = |word: &str| {
        let (first, rest) = word.split_at(1);
        first.to_uppercase() + rest
    };
    name.split('_').map(word).collect()
}

#[test]
fn each_kernel_has_one_name() {
    let tests: String = files("tests/gpu", "rs").into_iter().map(|(_, text)| text).collect();
    let kernels = registry();
    assert!(kernels.len() > 50, "the registry holds {} kernels", kernels.len());
    let mut missing = Vec::new();
    // Fails unless a file holds each of some texts, followed by what ends a name.
    let mut expect = |kernel: &str, file: String, wanted: &[String]| {
        let Ok(text) = fs::read_to_string(root().join(&file)) else {
            missing.push(format!("{kernel}: {file} is not there"));
            return;
        };
        for wanted in wanted {
            let ends = |(at, _): (usize, &str)| {
                let next = text[at + wanted.len()..].chars().next();
                !next.is_some_and(|c| c.is_alphanumeric() || c == '_')
            };
            if !text.match_indices(wanted.as_str()).any(ends) {
                missing.push(format!("{kernel}: {file} holds no `{wanted}`"));
            }
        }
    };
    let mut untested = Vec::new();
    for Named { folder, kernel, op } in &kernels {
        expect(kernel, format!("shaders/{folder}{kernel}.wgsl"), &[format!("fn {kernel}")]);
        if kernel.starts_with("ceiling_") || SHARED.contains(&kernel.as_str()) {
            continue;
        }
        let name = camel(op);
        let elsewhere = ELSEWHERE.iter().find(|(other, ..)| other == op);
        let (file, own) = elsewhere
            .map_or((format!("{folder}{op}.rs"), name.clone()), |(_, f, s)| {
                ((*f).to_owned(), (*s).to_owned())
            });
        expect(kernel, format!("src/ops/{file}"), &[format!("pub struct {own}")]);
        let twin = format!("src/reference/{folder}{op}.rs");
        expect(kernel, twin, &[format!("pub fn {op}")]);
        let case = [format!("pub struct {name}"), format!("impl Case for {name}")];
        expect(kernel, format!("src/check/cases/{folder}{op}.rs"), &case);
        // By itself, or in a list of tests that a macro makes.
        let plain = tests.contains(&format!("#[test]\nfn {op}() {{"));
        if !plain && !tests.contains(&format!("\n    {op}: {name}")) {
            untested.push(format!("{kernel}: no test in tests/gpu is called {op}"));
        }
    }
    missing.extend(untested);
    assert_none("names that a kernel's op, twin, case or test does not have", &missing);
}
