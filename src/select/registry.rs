//! The shader texts, built into the library.

use crate::gpu::{Kernel, Need, Part};

/// The op of a kernel: of its own name, unless the list below says `of` another.
macro_rules! op_of {
    ($name:literal) => {
        $name
    };
    ($name:literal $op:literal) => {
        $op
    };
}

macro_rules! kernels {
    (
        ops: [$($name:literal $(of $op:literal)? $(needs $need:ident)?),* $(,)?]
        training: [$($backward:literal $(of $backward_op:literal)?),* $(,)?]
        measurements: [$($measurement:literal),* $(,)?]
    ) => {
        /// Every kernel, by name; those of training only with the feature `train`.
        pub static KERNELS: &[Kernel] = &[
            $(Kernel {
                name: $name,
                op: Some(op_of!($name $($op)?)),
                source: include_str!(concat!("../../shaders/", $name, ".wgsl")),
                needs: &[$(Need::$need)?],
            },)*
            $(#[cfg(feature = "train")] Kernel {
                name: $backward,
                op: Some(op_of!($backward $($backward_op)?)),
                source: include_str!(concat!("../../shaders/backward/", $backward, ".wgsl")),
                needs: &[],
            },)*
            $(Kernel {
                name: $measurement,
                op: None,
                source: include_str!(concat!("../../shaders/", $measurement, ".wgsl")),
                needs: &[],
            },)*
        ];
    };
}

macro_rules! parts {
    ($($name:literal $(needs $need:ident)?),* $(,)?) => {
        /// Every part, by name.
        pub static PARTS: &[Part] = &[$(Part {
            name: $name,
            source: include_str!(concat!("../../shaders/parts/", $name, ".wgsl")),
            needs: &[$(Need::$need)?],
        }),*];
    };
}

kernels! {
    ops: [
        "embed",
        "layer_norm",
        "rms_norm",
        "matvec" of "linear",
        "matvec_shuffle" of "linear" needs Subgroups,
        "matmul" of "linear",
        "matmul_tiled" of "linear",
        "head_norm",
        "rope",
        "attention",
        "attention_tiled" of "attention",
        "attention_split" of "attention",
        "attention_split_shuffle" of "attention" needs Subgroups,
        "attention_merge" of "attention",
        "activate",
        "gated",
        "gather",
        "clear_padding",
        "add",
        "log_prob",
        "penalties",
        "sample",
        "top_k",
        "divergence",
        "pos_embed",
        "layer_norm_center",
        "rms_scale",
        "divide_rows",
        "gain_bias",
        "cache_rows",
        "attention_scores",
        "softmax",
        "attention_mix",
        "attention_result",
        "sum_heads",
        "scale_add",
        "project",
    ]
    training: [
        "embed_backward",
        "norm_backward",
        "gain_backward",
        "linear_backward_x",
        "linear_backward_x_tiled" of "linear_backward_x",
        "linear_backward_w",
        "linear_backward_w_tiled" of "linear_backward_w",
        "add_shares" of "linear_backward_w",
        "bias_backward",
        "rope_backward",
        "attention_backward_q" of "attention_backward",
        "attention_backward_kv" of "attention_backward",
        "activate_backward",
        "gated_backward",
        "cross_entropy",
        "dropout",
        "square_sum",
        "clip",
        "adam_w",
        "sgd",
        "cast_f16",
    ]
    // The ceilings of a device are measured with these; no op records them.
    measurements: [
        "ceiling_read",
        "ceiling_unpack",
        "ceiling_fma",
    ]
}

parts![
    "weight_f32",
    "weight_f16",
    "weight_bf16",
    "weight_q8_0",
    "weight_q4_0",
    "weight_q4_1",
    "weight_q5_0",
    "weight_q5_1",
    "weight_iq4_nl",
    "weight_iq4_xs",
    "weight_q2_k",
    "weight_q3_k",
    "weight_q4_k",
    "weight_q5_k",
    "weight_q6_k",
    "scales6",
    "codebook_iq4",
    "reduce_workgroup",
    "reduce_subgroup" needs Subgroups,
    "reduce_subgroups" needs Subgroups,
    "lanes_one",
    "lanes_workgroup",
    "lanes_subgroup" needs Subgroups,
    "lanes_subgroups" needs Subgroups,
    "tile_f32",
    "tile_f16" needs F16,
    "activation",
    "attention_params",
    "region",
    "chunk",
    "softcap",
    "store_plain",
    "store_gated",
    "store_cache",
    "cache_f32",
    "cache_f16",
    "cached_f32",
    "cached_f16",
    "heads_vec4",
    "heads_f32",
    "head_array_8",
    "head_array_16",
    "head_array_32",
    "argmax",
    "radix_select",
    "u64",
    "noise",
    "column_sum",
    "optimizer_settings",
    "kept_none",
    "kept_copy",
];

/// The kernel of this name.
///
/// # Panics
/// If there is none: names are literals of this crate, and a test walks them all.
pub fn kernel(name: &str) -> &'static Kernel {
    KERNELS.iter().find(|kernel| kernel.name == name).expect("kernels are named by literals")
}

/// The part of this name.
///
/// # Panics
/// If there is none: names are literals of this crate, and a test walks them all.
pub fn part(name: &str) -> &'static Part {
    PARTS.iter().find(|part| part.name == name).expect("parts are named by literals")
}
